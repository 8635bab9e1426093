"""ShuffleNet V2: half of the channels pass a unit untouched, the other half through full 1x1 convolutions.

[1] Ma 2018, arXiv:1807.11164    [2] Hu 2017, arXiv:1709.01507

Readings of and departures from the papers:
- At 2x the last layer has 2048 channels and level 3 has 244, as [1]'s Table 5 prints them and torchvision has them.
- [1]'s large networks (the table in its appendix): their first unit is the one that strides, with strides of 1. The
  SE block follows the last 1x1 with [2]'s reduction of 16, which [1] does not name, and the residual path adds
  the half that the unit transforms. So built they have 2.30 and 12.54 billion multiply-adds; [1] prints 2.3, 12.7.
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import (
    channel_shuffle,
    conv_bn,
    depthwise_bn,
    max_pool,
    split_channels,
    squeeze_excite,
)

MA = "arXiv:1807.11164"


def branch(x, filters, *, strides, se, name):
    """1x1, 3x3 of each channel without activation, 1x1; the SE block where there is one."""
    x = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv1")
    x = depthwise_bn(x, 3, strides=strides, name=f"{name}_conv2")
    x = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv3")
    return squeeze_excite(x, x.shape[-1] // se, name=f"{name}_se") if se else x


def unit(x, filters, *, strides, first, se, name):
    """Both halves of `filters`, one of them as it was; the `first` of a level makes both from all of x."""
    if first:
        kept = depthwise_bn(x, 3, strides=strides, name=f"{name}_shortcut1")
        kept = conv_bn(kept, filters // 2, 1, activation="relu", name=f"{name}_shortcut2")
        made = branch(x, filters // 2, strides=strides, se=se, name=name)
    else:
        kept, x = split_channels(x, filters // 2, name=f"{name}_split")
        made = branch(x, filters // 2, strides=1, se=se, name=name)
        if se:  # the residual path of [1]'s appendix
            made = layers.Add(name=f"{name}_add")([x, made])
    x = layers.Concatenate(name=f"{name}_concat")([kept, made])
    return channel_shuffle(x, 2, name=f"{name}_shuffle")


@image_family(minimum=32)
def body(x, *, filters, stem=(24,), depths=(4, 8, 4), last=1024, se=0):
    """ShuffleNet V2 with `filters` channels at its first level, twice as many at each next.

    `stem` are the widths of the convolutions before the pooling, `last` that of the one before the head. Three
    `depths` begin at level 3, four at level 2. `se` is the reduction of SE blocks with a residual path, 0 for none.
    """
    for i, width in enumerate(stem, start=1):
        x = conv_bn(
            x, width, 3, strides=2 if i == 1 else 1, activation="relu", name=f"stem_conv{i}"
        )
    x = max_pool(x, name="stem_pool")
    for level, depth in enumerate(depths, start=6 - len(depths)):
        for i in range(depth):
            strides, name = 2 if level > 2 else 1, f"level{level}_block{i + 1}"
            x = unit(x, filters, strides=strides, first=i == 0, se=se, name=name)
        filters *= 2
    return conv_bn(x, last, 1, activation="relu", name="level5_conv")


# fmt: off
#                                                                              channels of Table 5                                  trainable parameters and multiply-accumulates
shufflenet_v2_050     = variant(body, "shufflenet_v2_050", filters=48,             paper=MA, params=1_366_792, macs=40_476_448)
shufflenet_v2         = variant(body, "shufflenet_v2",     filters=116,            paper=MA, params=2_278_604, macs=144_907_992)
shufflenet_v2_150     = variant(body, "shufflenet_v2_150", filters=176,            paper=MA, params=3_503_624, macs=295_759_392)
shufflenet_v2_200     = variant(body, "shufflenet_v2_200", filters=244, last=2048, paper=MA, params=7_393_996, macs=583_253_464)
#                                                                              the appendix: channels, units at levels 2 to 5
shufflenet_v2_50      = variant(body, "shufflenet_v2_50",      filters=244, stem=(64,), depths=(3, 4, 6, 3), last=2048, paper=MA, params=16_573_534, macs=2_304_152_672)
se_shufflenet_v2_164  = variant(body, "se_shufflenet_v2_164",  filters=340, stem=(64, 64, 128), depths=(10, 10, 23, 10), last=2048, se=16, paper=MA, params=75_717_922, macs=12_541_354_352)
# fmt: on

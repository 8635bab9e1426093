"""ShuffleNet V2: each unit transforms half of the channels with ungrouped 1x1 convolutions.

[1] Ma 2018, arXiv:1807.11164    [2] Hu 2017, arXiv:1709.01507

Readings of the papers and departures from them:
- At 2x the last convolution has 2048 filters and level 3 has 244 channels, as in Table 5 of [1] and in torchvision.
- The large networks of [1] (the table in its appendix): their first unit is the downsampling one, with strides of 1. The
  SE block follows the last 1x1, with the reduction ratio 16 of [2], which [1] does not give. The residual path adds the
  half that the unit transforms. These networks have 2.30 and 12.54 billion multiply-adds; [1] prints 2.3 and 12.7.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
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
    """1x1, 3x3 depthwise without activation, 1x1, and the SE block, if any."""
    x = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv1")
    x = depthwise_bn(x, 3, strides=strides, name=f"{name}_conv2")
    x = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv3")
    return squeeze_excite(x, x.shape[-1] // se, name=f"{name}_se") if se else x


def basic_unit(x, *, se, name):
    """Figure 3(c): channel split, a branch, concatenation and channel shuffle; with SE also a residual path."""
    half = x.shape[-1] // 2
    shortcut, x = split_channels(x, half, name=f"{name}_split")
    y = branch(x, half, strides=1, se=se, name=name)
    if se:  # the residual path of the appendix of [1]
        y = layers.Add(name=f"{name}_add")([x, y])
    x = layers.Concatenate(name=f"{name}_concat")([shortcut, y])
    return channel_shuffle(x, 2, name=f"{name}_shuffle")


def downsampling_unit(x, filters, *, strides, se, name):
    """Figure 3(d): both branches read all channels."""
    shortcut = depthwise_bn(x, 3, strides=strides, name=f"{name}_shortcut1")
    shortcut = conv_bn(shortcut, filters // 2, 1, activation="relu", name=f"{name}_shortcut2")
    y = branch(x, filters // 2, strides=strides, se=se, name=name)
    x = layers.Concatenate(name=f"{name}_concat")([shortcut, y])
    return channel_shuffle(x, 2, name=f"{name}_shuffle")


@image_family(minimum=32)
def body(x, *, filters, stem=(24,), depths=(4, 8, 4), last=1024, se=0):
    """Builds ShuffleNet V2.

    Args:
        filters: channels at the first of the levels; each next one has twice as many.
        stem: filters of the convolutions before the pooling.
        depths: number of units at each level: three from level 3, or four from level 2.
        last: filters of the convolution before the head.
        se: reduction ratio of SE blocks, with a residual path; 0 for none.
    """
    for i, width in enumerate(stem, start=1):
        strides = 2 if i == 1 else 1
        x = conv_bn(x, width, 3, strides=strides, activation="relu", name=f"stem_conv{i}")
    x = max_pool(x, name="stem_pool")
    first_level = 6 - len(depths)
    first_strides = 2 if first_level > 2 else None
    for level, strides, name in levels(depths, first=first_level, strides=first_strides):
        width = filters * 2 ** (level - first_level)
        if strides > 1 or x.shape[-1] != width:
            x = downsampling_unit(x, width, strides=strides, se=se, name=name)
        else:
            x = basic_unit(x, se=se, name=name)
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

"""ShuffleNet V1: grouped 1x1 convolutions with a channel shuffle between them.

[1] Zhang 2017, arXiv:1707.01083    [2] Ma 2018, arXiv:1807.11164

Readings of the papers and departures from them:
- `stem` is 24 times the width in the text of [1]; the authors' code keeps 24 at 1.5x, which gives the 292 million
  multiply-adds that [1] prints for it.
- Where widths are not multiples of the groups, the stem (g = 8 at 0.25x and 0.5x, g = 4 at 0.25x) and the bottleneck
  (g = 4 at 0.25x and 0.5x) are rounded up to the next multiple.
- In a unit with strides, ReLU follows the concatenation, as in Figure 2 of [1]. The authors' later code has it only on
  the branch with convolutions, which is the same, since the other branch is not negative.
- ShuffleNet v1-50 of [2]: its table prints one width for the three convolutions of a unit. With bottlenecks of half that
  width and a first unit without a shortcut (64 channels cannot be concatenated to 360 in 3 groups), the network has the
  2.3 billion multiply-adds that [2] prints.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import average_pool, channel_shuffle, conv_bn, depthwise_bn, max_pool

ZHANG, MA = "arXiv:1707.01083", "arXiv:1807.11164"


def shuffle_unit(x, filters, *, strides, groups, first_groups, reduction, name):
    """Grouped 1x1, channel shuffle, 3x3 depthwise, grouped 1x1; with strides, concatenated with average pooling."""
    bottleneck = -(-(filters // reduction) // groups) * groups
    y = conv_bn(x, bottleneck, 1, groups=first_groups, activation="relu", name=f"{name}_conv1")
    y = channel_shuffle(y, groups, name=f"{name}_shuffle")
    y = depthwise_bn(y, 3, strides=strides, name=f"{name}_conv2")
    out = filters - x.shape[-1] if strides > 1 else filters
    y = conv_bn(y, out, 1, groups=groups, name=f"{name}_conv3")
    if strides > 1:
        x = average_pool(x, name=f"{name}_shortcut")
        y = layers.Concatenate(name=f"{name}_concat")([y, x])
    elif x.shape[-1] == filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(y)


@image_family(minimum=32)
def body(x, *, groups, filters, stem=24, depths=(4, 8, 4), reduction=4):
    """Builds ShuffleNet V1.

    Args:
        groups: of the 1x1 convolutions, g of [1].
        filters: channels at the first of the levels; each next one has twice as many.
        stem: filters of the first convolution.
        depths: number of units at each level: three from level 3, the first unit with strides, or four from level 2.
        reduction: ratio between the width of a unit and of its bottleneck.
    """
    x = conv_bn(x, stem, 3, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    first_level = 6 - len(depths)
    first_strides = 2 if first_level > 2 else None
    first_groups = 1  # the stem has too few channels for more ([1], section 3.3)
    for level, strides, name in levels(depths, first=first_level, strides=first_strides):
        x = shuffle_unit(
            x, filters * 2 ** (level - first_level), strides=strides, groups=groups, first_groups=first_groups,
            reduction=reduction, name=name,
        )  # fmt: skip
        first_groups = groups
    return x


# fmt: off
#                                                                                 g       width                         trainable parameters and multiply-accumulates
shufflenet_v1_g1     = variant(body, "shufflenet_v1_g1",     groups=1, filters=144,           paper=ZHANG, params=1_531_936, macs=143_078_976)
shufflenet_v1_g2     = variant(body, "shufflenet_v1_g2",     groups=2, filters=200,           paper=ZHANG, params=1_733_848, macs=140_836_512)
shufflenet_v1        = variant(body, "shufflenet_v1",        groups=3, filters=240,           paper=ZHANG, params=1_865_728, macs=137_460_672)
shufflenet_v1_g4     = variant(body, "shufflenet_v1_g4",     groups=4, filters=272,           paper=ZHANG, params=1_968_344, macs=134_339_776)
shufflenet_v1_g8     = variant(body, "shufflenet_v1_g8",     groups=8, filters=384,           paper=ZHANG, params=2_434_768, macs=138_365_952)
shufflenet_v1_g1_050 = variant(body, "shufflenet_v1_g1_050", groups=1, filters=72,  stem=12,  paper=ZHANG, params=534_484, macs=38_517_408)
shufflenet_v1_g2_050 = variant(body, "shufflenet_v1_g2_050", groups=2, filters=100, stem=12,  paper=ZHANG, params=643_932, macs=38_570_608)
shufflenet_v1_050    = variant(body, "shufflenet_v1_050",    groups=3, filters=120, stem=12,  paper=ZHANG, params=718_324, macs=37_589_856)
shufflenet_v1_g4_050 = variant(body, "shufflenet_v1_g4_050", groups=4, filters=136, stem=12,  paper=ZHANG, params=778_040, macs=37_468_832)
shufflenet_v1_g8_050 = variant(body, "shufflenet_v1_g8_050", groups=8, filters=192, stem=16,  paper=ZHANG, params=1_011_448, macs=40_469_760)
shufflenet_v1_g1_025 = variant(body, "shufflenet_v1_g1_025", groups=1, filters=36,  stem=6,   paper=ZHANG, params=209_746, macs=11_003_184)
shufflenet_v1_g2_025 = variant(body, "shufflenet_v1_g2_025", groups=2, filters=50,  stem=6,   paper=ZHANG, params=267_026, macs=11_156_596)
shufflenet_v1_025    = variant(body, "shufflenet_v1_025",    groups=3, filters=60,  stem=6,   paper=ZHANG, params=305_902, macs=11_009_808)
shufflenet_v1_g4_025 = variant(body, "shufflenet_v1_g4_025", groups=4, filters=68,  stem=8,   paper=ZHANG, params=339_252, macs=12_394_600)
shufflenet_v1_g8_025 = variant(body, "shufflenet_v1_g8_025", groups=8, filters=96,  stem=8,   paper=ZHANG, params=454_504, macs=12_426_240)
shufflenet_v1_150    = variant(body, "shufflenet_v1_150",    groups=3, filters=360,           paper=ZHANG, params=3_442_168, macs=292_443_552)
shufflenet_v1_200    = variant(body, "shufflenet_v1_200",    groups=3, filters=480, stem=48,  paper=ZHANG, params=5_450_776, macs=524_045_184)
shufflenet_v1_50     = variant(body, "shufflenet_v1_50",     groups=3, filters=360, stem=64,  depths=(3, 4, 6, 3), reduction=2, paper=MA, params=14_496_276, macs=2_297_081_952)
# fmt: on

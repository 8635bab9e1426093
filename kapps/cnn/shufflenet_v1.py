"""ShuffleNet: grouped 1x1 convolutions, and a shuffle between them so that groups mix.

[1] Zhang 2017, arXiv:1707.01083    [2] Ma 2018, arXiv:1807.11164

Readings of and departures from the papers:
- `stem` is 24 times the width in [1]'s text; the authors' code keeps 24 at 1.5x, which gives the 292 million
  multiply-adds that [1] prints for it.
- Where widths are no multiple of the groups, the stem (g = 8 at 0.25x and 0.5x, g = 4 at 0.25x) and the
  bottleneck (g = 4 at 0.25x and 0.5x) are rounded up to the next.
- In a unit that strides, ReLU follows the concatenation, as [1]'s Figure 2 draws it; the authors' later code
  has it on the convolutions' branch alone, which is the same, since the other branch is not negative.
- [2]'s ShuffleNet v1-50: its table prints one width for a unit's three convolutions. With bottlenecks of a half
  of it, and a first unit without a shortcut (64 channels cannot be concatenated to 360 by 3 groups), the network
  has the 2.3 billion multiply-adds that [2] prints.
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import channel_shuffle, conv_bn, depthwise_bn, max_pool

ZHANG, MA = "arXiv:1707.01083", "arXiv:1807.11164"


def unit(x, filters, *, strides, groups, first_groups, squeeze, name):
    """Grouped 1x1, shuffle, 3x3 of each channel, grouped 1x1; the mean of 3x3 beside it where it strides."""
    inner = -(-(filters // squeeze) // groups) * groups
    y = conv_bn(x, inner, 1, groups=first_groups, activation="relu", name=f"{name}_conv1")
    y = channel_shuffle(y, groups, name=f"{name}_shuffle")
    y = depthwise_bn(y, 3, strides=strides, name=f"{name}_conv2")
    new = filters - x.shape[-1] if strides > 1 else filters
    y = conv_bn(y, new, 1, groups=groups, name=f"{name}_conv3")
    if strides > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}_shortcut_pad")(x)
        x = layers.AveragePooling2D(3, strides=2, name=f"{name}_shortcut")(x)
        y = layers.Concatenate(name=f"{name}_concat")([y, x])
    elif x.shape[-1] == filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(y)


@image_family(minimum=32)
def body(x, *, groups, filters, stem=24, depths=(4, 8, 4), squeeze=4):
    """ShuffleNet with `filters` channels at its first level, twice as many at each next.

    g of [1] is `groups`, s times the width are s times `filters` and `stem`; a bottleneck is 1 / `squeeze` of
    its unit. Three `depths` begin at level 3, each with a unit that strides; four begin at level 2.
    """
    x = conv_bn(x, stem, 3, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    first_groups = 1  # the stem has too few channels for more ([1], section 3.3)
    for level, depth in enumerate(depths, start=6 - len(depths)):
        for i in range(depth):
            x = unit(
                x, filters, strides=2 if i == 0 and level > 2 else 1, groups=groups,
                first_groups=first_groups, squeeze=squeeze, name=f"level{level}_block{i + 1}",
            )  # fmt: skip
            first_groups = groups
        filters *= 2
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
shufflenet_v1_50     = variant(body, "shufflenet_v1_50",     groups=3, filters=360, stem=64,  depths=(3, 4, 6, 3), squeeze=2, paper=MA, params=14_496_276, macs=2_297_081_952)
# fmt: on

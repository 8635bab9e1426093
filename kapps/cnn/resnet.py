"""ResNet, ResNeXt, wide ResNet and SE-ResNet.

[1] He 2015, arXiv:1512.03385    [2] Xie 2016, arXiv:1611.05431
[3] Hu 2017, arXiv:1709.01507    [4] Zagoruyko 2016, arXiv:1605.07146

Departures from the papers:
- A bottleneck has its strides in the 3x3, as in [2] and in all later code, not in the first 1x1 as in [1]. The builders
  `resnet50_v1`, `resnet101_v1` and `resnet152_v1` have them in the 1x1.
- The bottleneck of [4] for ImageNet widens only the 3x3 (WRN-50-2). WRN-101-2 is the same, as in torchvision.
- [1] has at most 152 layers; 200 layers have the depths of its successor, arXiv:1603.05027.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn, max_pool, squeeze_excite

HE, XIE = "arXiv:1512.03385", "arXiv:1611.05431"
ZAGORUYKO, HU = "arXiv:1605.07146", "arXiv:1709.01507"


def basic_block(
    x, filters, *, strides, groups, group_width, stride_in, dilation=1, first_dilation=None, name
):  # fmt: skip
    """3x3, 3x3. It has no groups: [2] groups only bottlenecks."""
    if (groups, group_width, stride_in) != (1, 64, "3x3"):
        raise ValueError(
            f"{name}: basic_block has no groups, group_width or stride_in; bottleneck has them"
        )
    x = conv_bn(
        x, filters, 3, strides=strides, dilation=first_dilation or dilation, activation="relu",
        name=f"{name}_conv1",
    )  # fmt: skip
    return conv_bn(x, filters, 3, dilation=dilation, gamma="zeros", name=f"{name}_conv2")


def bottleneck(
    x, filters, *, strides, groups, group_width, stride_in, dilation=1, first_dilation=None, name
):  # fmt: skip
    """1x1, 3x3 in `groups`, 1x1 to four times `filters`."""
    inner = filters * groups * group_width // 64
    if stride_in not in ("3x3", "1x1"):
        raise ValueError(f'stride_in={stride_in!r} is not "3x3" or "1x1"')
    first, second = {"3x3": (1, strides), "1x1": (strides, 1)}[stride_in]
    x = conv_bn(x, inner, 1, strides=first, activation="relu", name=f"{name}_conv1")
    x = conv_bn(
        x, inner, 3, strides=second, dilation=first_dilation or dilation, groups=groups,
        activation="relu", name=f"{name}_conv2",
    )  # fmt: skip
    return conv_bn(x, 4 * filters, 1, gamma="zeros", name=f"{name}_conv3")


def se_gate(x, *, reduction, name):
    """The SE block of [3] on a residual branch."""
    return squeeze_excite(x, x.shape[-1] // reduction, name=f"{name}_se")


def residual(x, block, *, strides, gate=None, name):
    """relu(x + G(F(x))), with F = `block` and a gate G such as `se_gate`, or none.

    The shortcut projects only where the shape changes.
    """
    y = block(x, strides=strides, name=name)
    if gate is not None:
        y = gate(y, name=name)
    if strides > 1 or x.shape[-1] != y.shape[-1]:
        x = conv_bn(x, y.shape[-1], 1, strides=strides, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


def features(
    x, *, depths, block=bottleneck, groups=1, group_width=64, stride_in="3x3", stem="7x7", gate=None,
    between=None,
):  # fmt: skip
    """Returns the features of a ResNet, also for the families that add a gate to it.

    Args:
        x: Keras tensor (batch, height, width, channels).
        depths, block, groups, group_width, stride_in: as for `body`.
        stem: "7x7" with strides and a max pooling, or "3x3" for images of 32x32 pixels, whose first level is 0.
        gate: `gate(y, name=...)`, on the branch of each block before the sum; None for none.
        between: `between(x, name=...)`, on the map of each level but the last; None for none.
    """
    if stem not in ("7x7", "3x3"):
        raise ValueError(f'stem={stem!r} is not "7x7" or "3x3"')
    if stem == "7x7":
        x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
        x = max_pool(x, name="stem_pool")
    else:
        x = conv_bn(x, 64, 3, activation="relu", name="stem_conv")
    first = 2 if stem == "7x7" else 0
    for level, strides, name in levels(depths, first=first):
        if strides > 1 and between is not None:
            x = between(x, name=f"level{level - 1}")
        level_block = partial(
            block, filters=64 * 2 ** (level - first), groups=groups, group_width=group_width,
            stride_in=stride_in,
        )  # fmt: skip
        x = residual(x, level_block, strides=strides, gate=gate, name=name)
    return x


@image_family(minimum=32)
def body(x, *, depths, block=bottleneck, groups=1, group_width=64, stride_in="3x3", se=0):
    """Builds ResNet.

    Args:
        depths: number of blocks at the levels 2, 3, 4 ...
        block: `basic_block` or `bottleneck`.
        groups: cardinality, C of [2].
        group_width: width of a group at level 2, d of [2].
        stride_in: "3x3" or "1x1", the convolution of a bottleneck with the strides.
        se: reduction ratio of SE blocks, r of [3]; 0 for no SE blocks.
    """
    return features(
        x, depths=depths, block=block, groups=groups, group_width=group_width, stride_in=stride_in,
        gate=partial(se_gate, reduction=se) if se else None,
    )  # fmt: skip


# fmt: off
# the builder                                              blocks at levels 2 to 5  what differs: block, the 3x3, SE      paper             trainable parameters and multiply-accumulates
resnet18         = variant(body, "resnet18",         depths=(2, 2,  2, 2),  block=basic_block,                    paper=HE,        params=11_689_512,  macs=1_814_073_344)
resnet34         = variant(body, "resnet34",         depths=(3, 4,  6, 3),  block=basic_block,                    paper=HE,        params=21_797_672,  macs=3_663_761_408)
resnet50         = variant(body, "resnet50",         depths=(3, 4,  6, 3),                                        paper=HE,        params=25_557_032,  macs=4_089_184_256)
resnet101        = variant(body, "resnet101",        depths=(3, 4, 23, 3),                                        paper=HE,        params=44_549_160,  macs=7_801_405_440)
resnet152        = variant(body, "resnet152",        depths=(3, 8, 36, 3),                                        paper=HE,        params=60_192_808,  macs=11_513_626_624)
resnet200        = variant(body, "resnet200",        depths=(3, 24, 36, 3),                                       paper=HE,        params=64_673_832,  macs=15_007_481_856)
resnet50_v1      = variant(body, "resnet50_v1",      depths=(3, 4,  6, 3),  stride_in="1x1",                      paper=HE,        params=25_557_032,  macs=3_857_973_248)
resnet101_v1     = variant(body, "resnet101_v1",     depths=(3, 4, 23, 3),  stride_in="1x1",                      paper=HE,        params=44_549_160,  macs=7_570_194_432)
resnet152_v1     = variant(body, "resnet152_v1",     depths=(3, 8, 36, 3),  stride_in="1x1",                      paper=HE,        params=60_192_808,  macs=11_282_415_616)
resnext50        = variant(body, "resnext50",        depths=(3, 4,  6, 3),  groups=32, group_width=4,             paper=XIE,       params=25_028_904,  macs=4_230_479_872)
resnext50_32x8d  = variant(body, "resnext50_32x8d",  depths=(3, 4,  6, 3),  groups=32, group_width=8,             paper=XIE,       params=48_021_800,  macs=8_443_658_240)
resnext50_64x4d  = variant(body, "resnext50_64x4d",  depths=(3, 4,  6, 3),  groups=64, group_width=4,             paper=XIE,       params=45_192_488,  macs=7_981_236_224)
resnext50_2x64d  = variant(body, "resnext50_2x64d",  depths=(3, 4,  6, 3),  groups=2, group_width=64,             paper=XIE,       params=46_248_744,  macs=7_698_644_992)
resnext101       = variant(body, "resnext101",       depths=(3, 4, 23, 3),  groups=32, group_width=4,             paper=XIE,       params=44_177_704,  macs=7_969_996_800)
resnext101_32x8d = variant(body, "resnext101_32x8d", depths=(3, 4, 23, 3),  groups=32, group_width=8,             paper=XIE,       params=88_791_336,  macs=16_414_015_488)
resnext101_64x4d = variant(body, "resnext101_64x4d", depths=(3, 4, 23, 3),  groups=64, group_width=4,             paper=XIE,       params=83_455_272,  macs=15_460_270_080)
resnext101_2x64d = variant(body, "resnext101_2x64d", depths=(3, 4, 23, 3),  groups=2, group_width=64,             paper=XIE,       params=84_198_184,  macs=15_123_087_360)
resnet101_1x100d = variant(body, "resnet101_1x100d", depths=(3, 4, 23, 3),  group_width=100,                      paper=XIE,       params=85_611_336,  macs=15_272_862_720)
wide_resnet50    = variant(body, "wide_resnet50",    depths=(3, 4,  6, 3),  group_width=128,                      paper=ZAGORUYKO, params=68_883_240,  macs=11_398_021_120)
wide_resnet101   = variant(body, "wide_resnet101",   depths=(3, 4, 23, 3),  group_width=128,                      paper=ZAGORUYKO, params=126_886_696, macs=22_753_050_624)
se_resnet18      = variant(body, "se_resnet18",      depths=(2, 2,  2, 2),  block=basic_block, se=16,                   paper=HU,        params=11_778_592,  macs=1_814_160_384)
se_resnet34      = variant(body, "se_resnet34",      depths=(3, 4,  6, 3),  block=basic_block, se=16,                   paper=HU,        params=21_958_868,  macs=3_663_918_592)
se_resnet50      = variant(body, "se_resnet50",      depths=(3, 4,  6, 3),  se=16,                                paper=HU,        params=28_088_024,  macs=4_091_699_200)
se_resnet101     = variant(body, "se_resnet101",     depths=(3, 4, 23, 3),  se=16,                                paper=HU,        params=49_326_872,  macs=7_806_148_608)
se_resnet152     = variant(body, "se_resnet152",     depths=(3, 8, 36, 3),  se=16,                                paper=HU,        params=66_821_848,  macs=11_520_204_800)
se_resnext50     = variant(body, "se_resnext50",     depths=(3, 4,  6, 3),  groups=32, group_width=4, se=16,      paper=HU,        params=27_559_896,  macs=4_232_994_816)
se_resnext101    = variant(body, "se_resnext101",    depths=(3, 4, 23, 3),  groups=32, group_width=4, se=16,      paper=HU,        params=48_955_416,  macs=7_974_739_968)
# fmt: on

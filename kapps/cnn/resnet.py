"""ResNet, ResNeXt, wide ResNet and SE-ResNet: one body, three knobs on its 3x3.

[1] He 2015, arXiv:1512.03385    [2] Xie 2016, arXiv:1611.05431
[3] Hu 2017, arXiv:1709.01507    [4] Zagoruyko 2016, arXiv:1605.07146

Departures from the papers:
- A bottleneck strides in its 3x3, as [2] and every later code do, not in its first 1x1 as [1] does;
  `resnet50_v1` and its kin keep [1]'s place.
- [4]'s bottleneck for ImageNet widens the 3x3 alone (WRN-50-2); WRN-101-2 is the same, as torchvision has it.
- [1] stops at 152 layers; 200 has the depths of [1]'s successor, arXiv:1603.05027.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import conv_bn, max_pool, squeeze_excite

HE, XIE, ZAGORUYKO, HU = (
    "arXiv:1512.03385",
    "arXiv:1611.05431",
    "arXiv:1605.07146",
    "arXiv:1709.01507",
)


def basic(x, filters, *, strides, groups, group_width, stride_in, name):
    """3x3, 3x3. Only bottlenecks are grouped [2]."""
    if (groups, group_width, stride_in) != (1, 64, "3x3"):
        raise ValueError(
            f"{name}: a basic block takes no groups, group_width or stride_in; a bottleneck does"
        )
    x = conv_bn(x, filters, 3, strides=strides, activation="relu", name=f"{name}_conv1")
    return conv_bn(x, filters, 3, gamma="zeros", name=f"{name}_conv2")


def bottleneck(x, filters, *, strides, groups, group_width, stride_in, name):
    """1x1 down, 3x3 in `groups` paths, 1x1 up to four times `filters`."""
    inner = filters * groups * group_width // 64
    first, second = {"3x3": (1, strides), "1x1": (strides, 1)}[stride_in]
    x = conv_bn(x, inner, 1, strides=first, activation="relu", name=f"{name}_conv1")
    x = conv_bn(x, inner, 3, strides=second, groups=groups, activation="relu", name=f"{name}_conv2")
    return conv_bn(x, 4 * filters, 1, gamma="zeros", name=f"{name}_conv3")


def unit(x, block, strides, se, name):
    """relu(x + SE(F(x))); the shortcut projects only where the shape changes."""
    y = block(x, strides=strides, name=name)
    if se:
        y = squeeze_excite(y, y.shape[-1] // se, name=f"{name}_se")
    if strides > 1 or x.shape[-1] != y.shape[-1]:
        x = conv_bn(x, y.shape[-1], 1, strides=strides, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


@image_family(minimum=32)
def body(x, *, depths, block=bottleneck, groups=1, group_width=64, stride_in="3x3", se=0):
    """ResNet with `depths` blocks at levels 2, 3, 4 ...

    C and d of [2] are `groups` and `group_width`; r of [3] is `se` (0 for none); `stride_in` is "3x3" or "1x1".
    """
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, depth in enumerate(depths, start=2):
        residual = partial(
            block,
            filters=64 * 2 ** (level - 2),
            groups=groups,
            group_width=group_width,
            stride_in=stride_in,
        )
        for i in range(depth):
            x = unit(
                x, residual, 2 if level > 2 and i == 0 else 1, se, name=f"level{level}_block{i + 1}"
            )
    return x


# fmt: off
# the builder                                              blocks at levels 2 to 5  what differs: block, the 3x3, SE      paper             trainable parameters and multiply-accumulates
resnet18         = variant(body, "resnet18",         depths=(2, 2,  2, 2),  block=basic,                          paper=HE,        params=11_689_512,  macs=1_814_073_344)
resnet34         = variant(body, "resnet34",         depths=(3, 4,  6, 3),  block=basic,                          paper=HE,        params=21_797_672,  macs=3_663_761_408)
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
se_resnet18      = variant(body, "se_resnet18",      depths=(2, 2,  2, 2),  block=basic, se=16,                   paper=HU,        params=11_778_592,  macs=1_814_160_384)
se_resnet34      = variant(body, "se_resnet34",      depths=(3, 4,  6, 3),  block=basic, se=16,                   paper=HU,        params=21_958_868,  macs=3_663_918_592)
se_resnet50      = variant(body, "se_resnet50",      depths=(3, 4,  6, 3),  se=16,                                paper=HU,        params=28_088_024,  macs=4_091_699_200)
se_resnet101     = variant(body, "se_resnet101",     depths=(3, 4, 23, 3),  se=16,                                paper=HU,        params=49_326_872,  macs=7_806_148_608)
se_resnet152     = variant(body, "se_resnet152",     depths=(3, 8, 36, 3),  se=16,                                paper=HU,        params=66_821_848,  macs=11_520_204_800)
se_resnext50     = variant(body, "se_resnext50",     depths=(3, 4,  6, 3),  groups=32, group_width=4, se=16,      paper=HU,        params=27_559_896,  macs=4_232_994_816)
se_resnext101    = variant(body, "se_resnext101",    depths=(3, 4, 23, 3),  groups=32, group_width=4, se=16,      paper=HU,        params=48_955_416,  macs=7_974_739_968)
# fmt: on

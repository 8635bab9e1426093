"""BAM: ResNet and ResNeXt with an attention module between two levels.

[1] Park 2018, arXiv:1807.06514, and its authors' code

The gate of [1] is sigmoid(Mc + Ms), with a map Mc of one number for each channel and a map Ms of one for each pixel. The
authors' code, and pytorchcv's networks after it, have sigmoid(Mc * Ms), which is the default here. `combine="add"` is
the formula of [1].

The CIFAR networks have a stem of one 3x3 convolution. The authors' have 100 classes.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, variant
from kapps.cnn.resnet import basic_block, bottleneck, features
from kapps.layers import conv, conv_bn
from kapps.preprocessing import CIFAR10

PARK = "arXiv:1807.06514"


def channel_gate(x, *, reduction, name):
    """Mc of [1]: the mean of each channel, and a network of two layers; (batch, 1, 1, channels)."""
    channels = x.shape[-1]
    x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    x = conv_bn(
        x, channels // reduction, 1, use_bias=True, activation="relu", name=f"{name}_reduce"
    )
    return conv(x, channels, 1, use_bias=True, name=f"{name}_expand")


def spatial_gate(x, *, reduction, dilation, name):
    """Ms of [1]: a 1x1, two dilated 3x3 and a 1x1 convolution; (batch, height, width, 1)."""
    inner, options = x.shape[-1] // reduction, {"use_bias": True, "activation": "relu"}
    x = conv_bn(x, inner, 1, **options, name=f"{name}_reduce")
    for i in (1, 2):
        x = conv_bn(x, inner, 3, dilation=dilation, **options, name=f"{name}_conv{i}")
    return conv(x, 1, 1, use_bias=True, name=f"{name}_map")


def attention_module(x, *, reduction=16, dilation=4, combine="multiply", name):
    """x * (1 + sigmoid(Mc * Ms)), or with Mc + Ms for combine="add"."""
    if combine not in ("multiply", "add"):
        raise ValueError(f'combine={combine!r} is not "multiply" or "add"')
    name = f"{name}_bam"
    maps = [
        channel_gate(x, reduction=reduction, name=f"{name}_channel"),
        spatial_gate(x, reduction=reduction, dilation=dilation, name=f"{name}_spatial"),
    ]
    join = {"multiply": layers.Multiply, "add": layers.Add}[combine]
    gate = join(name=f"{name}_joined")(maps)
    gate = layers.Activation("sigmoid", name=f"{name}_gate")(gate)
    y = layers.Multiply(name=f"{name}_scale")([x, gate])
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(minimum=32)
def body(
    x, *, depths, block=bottleneck, groups=1, group_width=64, reduction=16, combine="multiply",
    stem="7x7",
):  # fmt: skip
    """Builds a ResNet with BAM after all levels but the last.

    Args:
        depths: number of blocks at the levels 2, 3, 4 ...
        block: `kapps.cnn.resnet.basic_block` or `bottleneck`.
        groups: cardinality of the 3x3.
        group_width: width of a group at level 2.
        reduction: reduction ratio of the gates, r of [1].
        combine: "multiply" or "add", how the gates of channels and pixels are combined.
        stem: "7x7" with strides and a max pooling, or "3x3" for CIFAR, whose first level is 0.
    """
    module = partial(attention_module, reduction=reduction, combine=combine)
    return features(
        x, depths=depths, block=block, groups=groups, group_width=group_width, stem=stem,
        between=module,
    )  # fmt: skip


CIFAR = {"stem": "3x3", "minimum": 8, "classes": 10, "preprocessing": CIFAR10}

# fmt: off
#                                                         blocks at each level                                                    trainable parameters and multiply-accumulates
bam_resnet18       = variant(body, "bam_resnet18",       depths=(2, 2,  2, 2), block=basic_block,          paper=PARK, params=11_712_503, macs=1_819_224_000)
bam_resnet34       = variant(body, "bam_resnet34",       depths=(3, 4,  6, 3), block=basic_block,          paper=PARK, params=21_820_663, macs=3_668_912_064)
bam_resnet50       = variant(body, "bam_resnet50",       depths=(3, 4,  6, 3),                             paper=PARK, params=25_915_099, macs=4_171_331_328)
bam_resnet101      = variant(body, "bam_resnet101",      depths=(3, 4, 23, 3),                             paper=PARK, params=44_907_227, macs=7_883_552_512)
bam_resnet152      = variant(body, "bam_resnet152",      depths=(3, 8, 36, 3),                             paper=PARK, params=60_550_875, macs=11_595_773_696)
bam_resnext50      = variant(body, "bam_resnext50",      depths=(3, 4,  6, 3), groups=32, group_width=4,   paper=PARK, params=25_386_971, macs=4_312_626_944)
bam_resnext101     = variant(body, "bam_resnext101",     depths=(3, 4, 23, 3), groups=32, group_width=4,   paper=PARK, params=44_535_771, macs=8_052_143_872)
bam_resnet18_cifar = variant(body, "bam_resnet18_cifar", depths=(2, 2,  2, 2), block=basic_block, **CIFAR, paper=PARK, params=11_196_953, macs=557_111_808)
bam_resnet50_cifar = variant(body, "bam_resnet50_cifar", depths=(3, 4,  6, 3),                    **CIFAR, paper=PARK, params=23_878_909, macs=1_324_769_280)
# fmt: on

"""CBAM: ResNet and ResNeXt with a gate for channels, then one for pixels, in every block.

[1] Woo 2018, arXiv:1807.06521, and its authors' code

As in the authors' code, the layers of the channel gate have biases, and the batch norm of the spatial gate starts at
gamma = 0, so that at first every pixel is weighted by 1/2. timm's gate has no biases, and reads the mean before the
maximum: `use_bias=False, mean_first=True`.

The CIFAR networks have a stem of one 3x3 convolution. The authors' have 100 classes.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, variant
from kapps.cnn.resnet import basic_block, bottleneck, features
from kapps.layers import ChannelPool, conv_bn
from kapps.preprocessing import CIFAR10

WOO = "arXiv:1807.06521"


def channel_gate(x, *, reduction, use_bias, name):
    """x * sigmoid(MLP(mean(x)) + MLP(max(x))), with one network of two layers for both."""
    options = {"kernel_size": 1, "use_bias": use_bias}
    reduce = layers.Conv2D(
        x.shape[-1] // reduction, activation="relu", **options, name=f"{name}_reduce"
    )
    expand = layers.Conv2D(x.shape[-1], **options, name=f"{name}_expand")
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    maximum = layers.GlobalMaxPooling2D(keepdims=True, name=f"{name}_max")(x)
    gate = layers.Add(name=f"{name}_add")([expand(reduce(mean)), expand(reduce(maximum))])
    gate = layers.Activation("sigmoid", name=f"{name}_gate")(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def spatial_gate(x, *, mean_first, name):
    """x * sigmoid(BN(7x7(maximum and mean over the channels)))."""
    gate = ChannelPool(mean_first, name=f"{name}_pool")(x)
    gate = conv_bn(
        gate, 1, 7, gamma="zeros", momentum=0.99, activation="sigmoid", name=f"{name}_conv"
    )
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def attention_module(x, *, reduction=16, use_bias=True, mean_first=False, name):
    """The gates of channels and of pixels, one after the other."""
    x = channel_gate(x, reduction=reduction, use_bias=use_bias, name=f"{name}_channel")
    return spatial_gate(x, mean_first=mean_first, name=f"{name}_spatial")


@image_family(minimum=32)
def body(
    x, *, depths, block=bottleneck, groups=1, group_width=64, reduction=16, use_bias=True,
    mean_first=False, stem="7x7",
):  # fmt: skip
    """Builds a ResNet with CBAM on the branch of each block.

    Args:
        depths: number of blocks at the levels 2, 3, 4 ...
        block: `kapps.cnn.resnet.basic_block` or `bottleneck`.
        groups: cardinality of the 3x3.
        group_width: width of a group at level 2.
        reduction: reduction ratio of the channel gate, r of [1].
        use_bias: whether the layers of the channel gate have biases.
        mean_first: whether the spatial gate reads the mean before the maximum.
        stem: "7x7" with strides and a max pooling, or "3x3" for CIFAR, whose first level is 0.
    """
    gate = partial(
        attention_module, reduction=reduction, use_bias=use_bias, mean_first=mean_first
    )  # fmt: skip
    return features(
        x, depths=depths, block=block, groups=groups, group_width=group_width, stem=stem, gate=gate
    )


CIFAR = {"stem": "3x3", "minimum": 8, "classes": 10, "preprocessing": CIFAR10}

# fmt: off
#                                                           blocks at each level                                                   trainable parameters and multiply-accumulates
cbam_resnet18       = variant(body, "cbam_resnet18",       depths=(2, 2,  2, 2), block=basic_block,          paper=WOO, params=11_779_392, macs=1_815_063_764)
cbam_resnet34       = variant(body, "cbam_resnet34",       depths=(3, 4,  6, 3), block=basic_block,          paper=WOO, params=21_960_468, macs=3_665_434_742)
cbam_resnet50       = variant(body, "cbam_resnet50",       depths=(3, 4,  6, 3),                             paper=WOO, params=28_089_624, macs=4_095_573_110)
cbam_resnet101      = variant(body, "cbam_resnet101",      depths=(3, 4, 23, 3),                             paper=WOO, params=49_330_172, macs=7_812_577_278)
cbam_resnet152      = variant(body, "cbam_resnet152",      depths=(3, 8, 36, 3),                             paper=WOO, params=66_826_848, macs=11_529_025_510)
cbam_resnext50      = variant(body, "cbam_resnext50",      depths=(3, 4,  6, 3), groups=32, group_width=4,   paper=WOO, params=27_561_496, macs=4_236_868_726)
cbam_resnext101     = variant(body, "cbam_resnext101",     depths=(3, 4, 23, 3), groups=32, group_width=4,   paper=WOO, params=48_958_716, macs=7_981_168_638)
cbam_resnet18_cifar = variant(body, "cbam_resnet18_cifar", depths=(2, 2,  2, 2), block=basic_block, **CIFAR, paper=WOO, params=11_263_842, macs=555_863_360)
cbam_resnet50_cifar = variant(body, "cbam_resnet50_cifar", depths=(3, 4,  6, 3),                    **CIFAR, paper=WOO, params=26_053_434, macs=1_303_303_520)
# fmt: on

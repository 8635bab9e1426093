"""ResNet for CIFAR: 6n + 2 layers for images of 32x32 pixels.

[1] He 2015, arXiv:1512.03385, section 4.2

Three levels have n blocks of 16, 32 and 64 filters. All shortcuts are identities (option A of [1]): where the shape
changes, they keep every second pixel and pad the new channels with zeros, half before and half after the others. The
network has the parameters of the plain network without shortcuts.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn
from kapps.preprocessing import CIFAR10

HE = "arXiv:1512.03385"


def shortcut(x, filters, *, strides, name):
    """Option A of [1]: every second pixel, and channels of zeros."""
    if strides > 1:
        x = layers.AveragePooling2D(1, strides=strides, name=f"{name}_shortcut")(x)
    added = filters - x.shape[-1]
    if added:
        # With "channels_first" the last padded axis is the channels of (height, width, channels).
        padding = ((0, 0), (added // 2, added - added // 2))
        x = layers.ZeroPadding2D(
            padding, data_format="channels_first", name=f"{name}_shortcut_pad"
        )(x)
    return x


def basic_block(x, filters, *, strides, name):
    """relu(x + F(x)), F two 3x3 convolutions."""
    y = conv_bn(x, filters, 3, strides=strides, activation="relu", name=f"{name}_conv1")
    y = conv_bn(y, filters, 3, name=f"{name}_conv2")
    x = shortcut(x, filters, strides=strides, name=name)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


@image_family(minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10)
def body(x, *, n, filters=16):
    """Builds ResNet for CIFAR with `n` blocks at each of the levels 0, 1 and 2, `filters` wide at level 0."""
    x = conv_bn(x, filters, 3, activation="relu", name="stem_conv")
    for level, strides, name in levels((n, n, n), first=0):
        x = basic_block(x, filters * 2**level, strides=strides, name=name)
    return x


# fmt: off
#                                                           6n + 2    the paper prints       0.27M, 0.46M, 0.66M, 0.85M, 1.7M
resnet20_cifar  = variant(body, "resnet20_cifar",  n=3,  paper=HE, params=269_722,     macs=40_551_040)
resnet32_cifar  = variant(body, "resnet32_cifar",  n=5,  paper=HE, params=464_154,     macs=68_862_592)
resnet44_cifar  = variant(body, "resnet44_cifar",  n=7,  paper=HE, params=658_586,     macs=97_174_144)
resnet56_cifar  = variant(body, "resnet56_cifar",  n=9,  paper=HE, params=853_018,     macs=125_485_696)
resnet110_cifar = variant(body, "resnet110_cifar", n=18, paper=HE, params=1_727_962,   macs=252_887_680)
# fmt: on

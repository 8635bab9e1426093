"""SKNet: selective kernel networks, a ResNeXt that weights two kernel sizes for each channel.

[1] Li 2019, arXiv:1903.06586

SK[M, G, r] of [1] has M = 2 paths, a 3x3 and a 3x3 with dilation 2 in place of a 5x5, both in G = 32 groups. The sum of
the paths is squeezed to channels / r features, at least L = 32, and a softmax over the paths weights them.

Where a unit has strides, the dilated 3x3 reads only every second pixel, so it is an undilated 3x3 on those pixels. It
computes the same values (Keras has no convolution with both strides and dilation).
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import conv, conv_bn, max_pool, split_channels

LI = "arXiv:1903.06586"


def sk_split(x, *, strides, groups, name):
    """Split: the 3x3 and the dilated 3x3, each with batch norm and ReLU."""
    options = {"groups": groups, "activation": "relu"}
    a = conv_bn(x, x.shape[-1], 3, strides=strides, **options, name=f"{name}_path1")
    dilation = 2
    if strides > 1:
        x = layers.AveragePooling2D(1, strides=2, name=f"{name}_path2_pixels")(x)
        dilation = 1
    b = conv_bn(x, x.shape[-1], 3, dilation=dilation, **options, name=f"{name}_path2")
    return a, b


def sk_fuse_and_select(a, b, *, reduction, name):
    """Fuse and select: w * a + (1 - w) * b, with a weight for each channel from a softmax over both paths."""
    channels = a.shape[-1]
    z = layers.Add(name=f"{name}_fuse")([a, b])
    z = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(z)
    z = conv_bn(z, max(channels // reduction, 32), 1, activation="relu", name=f"{name}_reduce")
    z = conv(z, 2 * channels, 1, name=f"{name}_select")
    # A softmax over two values is the sigmoid of their difference.
    first, second = split_channels(z, channels, name=f"{name}_select")
    w = layers.Subtract(name=f"{name}_difference")([first, second])
    w = layers.Activation("sigmoid", name=f"{name}_weight")(w)
    # w * a + (1 - w) * b = b + w * (a - b)
    difference = layers.Subtract(name=f"{name}_apart")([a, b])
    difference = layers.Multiply(name=f"{name}_weighted")([difference, w])
    return layers.Add(name=f"{name}_selected")([b, difference])


def sk_unit(x, filters, *, strides, groups, reduction, name):
    """relu(x + F(x)), F a 1x1, an SK convolution and a 1x1 to twice `filters`."""
    y = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv1")
    a, b = sk_split(y, strides=strides, groups=groups, name=name)
    y = sk_fuse_and_select(a, b, reduction=reduction, name=name)
    y = conv_bn(y, 2 * filters, 1, gamma="zeros", name=f"{name}_conv3")
    if strides > 1 or x.shape[-1] != 2 * filters:
        x = conv_bn(x, 2 * filters, 1, strides=strides, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


@image_family(minimum=32)
def body(x, *, depths, groups=32, reduction=16):
    """Builds SKNet.

    Args:
        depths: number of SK units at the levels 2, 3, 4 ...
        groups: of the SK convolutions, G of [1].
        reduction: reduction ratio r of [1].
    """
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, strides, name in levels(depths):
        x = sk_unit(
            x, 32 * 2**level, strides=strides, groups=groups, reduction=reduction, name=name
        )  # fmt: skip
    return x


# fmt: off
#                                     units at levels 2 to 5              trainable parameters and multiply-accumulates
sknet50  = variant(body, "sknet50",  depths=(3, 4,  6, 3), paper=LI, params=27_479_784, macs=4_462_710_784)
sknet101 = variant(body, "sknet101", depths=(3, 4, 23, 3), paper=LI, params=48_736_040, macs=8_448_724_992)
# fmt: on

"""SKNet: a ResNeXt that chooses, channel by channel, how large its 3x3 is.

[1] Li 2019, arXiv:1903.06586

SK[M, G, r] of [1]: M = 2 paths, a 3x3 and a 3x3 with dilation 2 in place of a 5x5, both in G = 32 groups; what
both hold together is squeezed to channels / r, at least L = 32, and a softmax over the paths weights them.

Departure from the paper: none in figures; where a unit strides, the dilated 3x3 reads every second pixel only,
so it stands as a plain 3x3 on those pixels (Keras has no convolution with both strides and dilation).
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import conv, conv_bn, max_pool, split_channels

LI = "arXiv:1903.06586"


def every_second(x, *, name):
    """Every second pixel, from the first."""
    return layers.AveragePooling2D(1, strides=2, name=name)(x)


def paths(x, *, strides, groups, name):
    """The 3x3 and the dilated 3x3, each with batch norm and ReLU."""
    how = {"groups": groups, "activation": "relu"}
    near = conv_bn(x, x.shape[-1], 3, strides=strides, **how, name=f"{name}_path1")
    if strides > 1:
        x = every_second(x, name=f"{name}_path2_pixels")
    dilation = 1 if strides > 1 else 2
    far = conv_bn(x, x.shape[-1], 3, dilation=dilation, **how, name=f"{name}_path2")
    return near, far


def select(near, far, *, reduction, name):
    """Split, fuse, select: a * near + (1 - a) * far with a weight a channel, from a softmax over both."""
    channels = near.shape[-1]
    z = layers.Add(name=f"{name}_fuse")([near, far])
    z = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(z)
    squeezed = max(channels // reduction, 32)
    z = conv_bn(z, squeezed, 1, activation="relu", name=f"{name}_reduce")
    z = conv(z, 2 * channels, 1, name=f"{name}_select")
    # A softmax over two is the sigmoid of their difference: no axis of paths is needed.
    a, b = split_channels(z, channels, name=f"{name}_select")
    a = layers.Subtract(name=f"{name}_difference")([a, b])
    a = layers.Activation("sigmoid", name=f"{name}_weight")(a)
    apart = layers.Subtract(name=f"{name}_apart")([near, far])
    apart = layers.Multiply(name=f"{name}_weighted")([apart, a])
    return layers.Add(name=f"{name}_selected")([far, apart])


def unit(x, filters, *, strides, groups, reduction, name):
    """relu(x + F(x)): 1x1 down, SK convolution, 1x1 up to twice `filters`."""
    y = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv1")
    near, far = paths(y, strides=strides, groups=groups, name=name)
    y = select(near, far, reduction=reduction, name=name)
    y = conv_bn(y, 2 * filters, 1, gamma="zeros", name=f"{name}_conv3")
    if strides > 1 or x.shape[-1] != 2 * filters:
        x = conv_bn(x, 2 * filters, 1, strides=strides, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


@image_family(minimum=32)
def body(x, *, depths, groups=32, reduction=16):
    """SKNet with `depths` units at levels 2, 3, 4 ...; G and r of [1] are `groups` and `reduction`."""
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, depth in enumerate(depths, start=2):
        for i in range(depth):
            strides, name = 2 if level > 2 and i == 0 else 1, f"level{level}_block{i + 1}"
            x = unit(
                x, 32 * 2**level, strides=strides, groups=groups, reduction=reduction, name=name
            )
    return x


# fmt: off
#                                     units at levels 2 to 5              trainable parameters and multiply-accumulates
sknet50  = variant(body, "sknet50",  depths=(3, 4,  6, 3), paper=LI, params=27_479_784, macs=4_462_710_784)
sknet101 = variant(body, "sknet101", depths=(3, 4, 23, 3), paper=LI, params=48_736_040, macs=8_448_724_992)
# fmt: on

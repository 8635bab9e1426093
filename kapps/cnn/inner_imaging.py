"""Competitive inner-imaging SE: gates that see a residual branch and its shortcut, as one small image.

[1] Hu 2018, arXiv:1807.08920, and its authors' code

A block returns u * g(u, s) + s, with the branch u and the shortcut s. The gate g reads the means of all channels of both.
Its versions are those of the authors' code: two dense layers side by side ("double FC"), and a convolution over the
means, laid out as pairs (kernels of 1x1 and 1x2) or folded to an image (3x3). No layer of a gate has a bias.

The bodies are the pre-activation ResNet-164 and the wide ResNet WRN-28-10 for CIFAR. The input is normalised by a batch
norm without scale and shift.

Departures from the authors' code:
- The first block of ResNet-164 projects its shortcut from 16 to 64 channels. The published code does not, and cannot be
  run.
- WRN-28-10 has no dropout.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.cnn.resnet_v2 import bottleneck
from kapps.layers import batch_norm, conv, conv_bn
from kapps.preprocessing import CIFAR10

HU = "arXiv:1807.08920"
REDUCTION = 16


def dense(x, units, activation, name):
    """A dense layer without biases."""
    return layers.Dense(units, activation=activation, use_bias=False, name=name)(x)


def weight(u, hidden, name):
    """u * sigmoid(W hidden)."""
    gate = dense(hidden, u.shape[-1], "sigmoid", f"{name}_expand")
    gate = layers.Reshape((1, 1, u.shape[-1]), name=f"{name}_gate")(gate)
    return layers.Multiply(name=f"{name}_scale")([u, gate])


def means(u, s, name):
    """The means of the channels of the branch and of the shortcut."""
    return [
        layers.GlobalAveragePooling2D(name=f"{name}_{part}_mean")(x)
        for part, x in (("branch", u), ("shortcut", s))
    ]


def se(u, s, *, maps, columns, name):
    """The SE block, which does not see the shortcut."""
    del s, maps, columns
    mean = layers.GlobalAveragePooling2D(name=f"{name}_branch_mean")(u)
    return weight(u, dense(mean, u.shape[-1] // REDUCTION, "relu", f"{name}_reduce"), name)


def double_fc(u, s, *, maps, columns, name):
    """Double FC: a dense layer for the branch and one for the shortcut."""
    del maps, columns
    hidden = [
        dense(mean, u.shape[-1] // REDUCTION, "relu", f"{name}_{part}_reduce")
        for part, mean in zip(("branch", "shortcut"), means(u, s, name), strict=True)
    ]
    return weight(u, layers.Concatenate(name=f"{name}_hidden")(hidden), name)


def weight_by_image(u, image, kernel_size, maps, name):
    """The gate of an image: a convolution to `maps`, batch norm, the mean of the maps, and two dense layers."""
    x = conv_bn(image, maps, kernel_size, padding="valid", name=f"{name}_conv")
    height, width = x.shape[1:3]
    x = layers.Reshape((height * width, maps), name=f"{name}_pixels")(x)
    # With "channels_first" the last axis, of the maps, is averaged.
    x = layers.GlobalAveragePooling1D("channels_first", name=f"{name}_map")(x)
    return weight(u, dense(x, u.shape[-1] // REDUCTION, "relu", f"{name}_reduce"), name)


def pair_view(u, s, *, maps, columns, kernel_size, name):
    """Pair view: an image with a row for each channel and two columns, the branch and the shortcut."""
    del columns
    channels = u.shape[-1]
    pair = [
        layers.Reshape((channels, 1, 1), name=f"{name}_{part}_column")(mean)
        for part, mean in zip(("branch", "shortcut"), means(u, s, name), strict=True)
    ]
    image = layers.Concatenate(axis=2, name=f"{name}_image")(pair)
    return weight_by_image(u, image, kernel_size, maps, name)


def conv_1x1(u, s, *, maps, columns, name):
    """The pair view with kernels of 1x1."""
    return pair_view(u, s, maps=maps, columns=columns, kernel_size=(1, 1), name=name)


def conv_2x1(u, s, *, maps, columns, name):
    """The pair view with kernels over both columns."""
    return pair_view(u, s, maps=maps, columns=columns, kernel_size=(1, 2), name=name)


def conv_3x3(u, s, *, maps, columns, name):
    """Folded inner imaging: `columns` channels in a row, and rows of the branch and the shortcut in turn."""
    rows = u.shape[-1] // columns
    parts = [
        layers.Reshape((rows, 1, columns), name=f"{name}_{part}_rows")(mean)
        for part, mean in zip(("branch", "shortcut"), means(u, s, name), strict=True)
    ]
    image = layers.Concatenate(axis=2, name=f"{name}_fold")(parts)
    image = layers.Reshape((2 * rows, columns, 1), name=f"{name}_image")(image)
    return weight_by_image(u, image, 3, maps, name)


def bottleneck_unit(x, filters, *, strides, gate, name):
    """A pre-activation bottleneck; an image of the gate has 16 columns."""
    gate = partial(gate, maps=filters // REDUCTION, columns=16)
    return bottleneck(x, filters, strides=strides, activate=True, gate=gate, name=name)


def basic_unit(x, filters, *, strides, gate, name):
    """A pre-activation block of two 3x3 (Zagoruyko 2016); an image of the gate has 16 rows of each map."""
    y = batch_norm(x, activation="relu", name=f"{name}_preact")
    if strides > 1 or x.shape[-1] != filters:
        x = conv(y, filters, 1, strides=strides, name=f"{name}_shortcut")
    y = conv_bn(y, filters, 3, strides=strides, activation="relu", name=f"{name}_conv1")
    y = conv(y, filters, 3, name=f"{name}_conv2")
    y = gate(y, x, maps=filters // REDUCTION, columns=filters // 16, name=name)
    return layers.Add(name=f"{name}_out")([x, y])


@image_family(minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10)
def body(x, *, n, gate, unit=bottleneck_unit, filters=16, stem_norm=False):
    """Builds a pre-activation ResNet for CIFAR with gates that see the branch and the shortcut.

    Args:
        n: number of blocks at each of the levels 0, 1 and 2.
        gate: `se`, `double_fc`, `conv_1x1`, `conv_2x1` or `conv_3x3` of `kapps.cnn.inner_imaging`.
        unit: `bottleneck_unit` or `basic_unit`.
        filters: channels of the 3x3 at level 0, a multiple of 16; each next level has twice as many.
        stem_norm: whether a batch norm follows the stem's convolution.
    """
    if filters % 16:
        raise ValueError(f"filters={filters} is not a multiple of 16")
    x = layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, scale=False, center=False, name="stem_norm"
    )(x)
    x = conv(x, 16, 3, name="stem_conv")
    if stem_norm:
        x = batch_norm(x, name="stem_conv_bn")
    for level, strides, name in levels((n, n, n), first=0):
        x = unit(x, filters * 2**level, strides=strides, gate=gate, name=name)
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


WRN = {"n": 4, "unit": basic_unit, "filters": 160, "stem_norm": True}

# fmt: off
#                                                                                            the gate                        trainable parameters and multiply-accumulates
cmpe_se_resnet164_double_fc = variant(body, "cmpe_se_resnet164_double_fc", n=18, gate=double_fc, paper=HU, params=2_090_330,  macs=248_033_792)
cmpe_se_resnet164_1x1       = variant(body, "cmpe_se_resnet164_1x1",       n=18, gate=conv_1x1,  paper=HU, params=1_993_940,  macs=247_985_408)
cmpe_se_resnet164_2x1       = variant(body, "cmpe_se_resnet164_2x1",       n=18, gate=conv_2x1,  paper=HU, params=1_897_298,  macs=247_888_640)
cmpe_se_resnet164_3x3       = variant(body, "cmpe_se_resnet164_3x3",       n=18, gate=conv_3x3,  paper=HU, params=1_956_644,  macs=248_247_992)
cmpe_se_wrn28_10_double_fc  = variant(body, "cmpe_se_wrn28_10_double_fc", **WRN, gate=double_fc, paper=HU, params=37_016_826, macs=5_243_866_368)
cmpe_se_wrn28_10_1x1        = variant(body, "cmpe_se_wrn28_10_1x1",       **WRN, gate=conv_1x1,  paper=HU, params=36_883_266, macs=5_244_000_768)
cmpe_se_wrn28_10_2x1        = variant(body, "cmpe_se_wrn28_10_2x1",       **WRN, gate=conv_2x1,  paper=HU, params=36_749_146, macs=5_243_866_368)
cmpe_se_wrn28_10_3x3        = variant(body, "cmpe_se_wrn28_10_3x3",       **WRN, gate=conv_3x3,  paper=HU, params=36_851_906, macs=5_245_815_168)
# fmt: on

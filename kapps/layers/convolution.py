"""Convolution, normalisation and activation: the functions that build the blocks of convolutional families."""

from functools import partial

import keras
from keras import layers

from kapps.layers.fast_layer_normalization import FastLayerNormalization
from kapps.layers.grouped_convolution import GroupedConv2D
from kapps.layers.padding import current_padding, pad


def conv(
    x, filters, kernel_size, *, strides=1, dilation=1, groups=1, padding=None, use_bias=False,
    activation=None, initializer=None, name,
):  # fmt: skip
    """Applies a convolution, padded by default by kernel_size // 2 on every side.

    Within `strided_padding("same")` a strided convolution that is padded has TensorFlow's SAME padding.

    Args:
        x: Keras tensor (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: side of the kernel, or (height, width).
        strides: step between two windows, or (vertical, horizontal).
        dilation: distance between two pixels of a window.
        groups: number of groups of channels.
        padding: None for kernel_size // 2 on every side; "same" or "valid" as in Keras; a number for this many pixels
            on every side; or (before, after) for each axis, where (0, strides - 1) is known as ceil mode.
        use_bias: whether the convolution has biases.
        activation: activation of the convolution, by Keras's name.
        initializer: of the kernel, by default He's by fan-out, as in the ResNets' code.
        name: of the layer. A padding layer before it is called `<name>_pad`.
    """
    x, padding = pad(x, kernel_size, strides, padding, name)
    layer_class = layers.Conv2D if groups == 1 else GroupedConv2D
    return layer_class(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        groups=groups,
        use_bias=use_bias,
        activation=activation,
        kernel_initializer=initializer or _he_normal(),
        name=name,
    )(x)


def conv_relu(x, filters, kernel_size, *, strides=1, groups=1, padding=None, name):
    """Applies `conv` with biases and a ReLU, the layer of networks before batch norm.

    The kernel has He's initialisation by fan-in: by fan-out the signal fades in a first layer with few inputs.
    """
    return conv(
        x, filters, kernel_size, strides=strides, groups=groups, padding=padding, use_bias=True,
        activation="relu", initializer="he_normal", name=name,
    )  # fmt: skip


def depthwise(
    x, kernel_size, *, strides=1, dilation=1, padding=None, use_bias=False, initializer=None, name
):  # fmt: skip
    """Applies a depthwise convolution, which reads each channel separately. It is padded as `conv` is.

    With a dilation, the distance between two pixels of a window, it has no strides.
    """
    x, padding = pad(x, kernel_size, strides, padding, name)
    return layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        use_bias=use_bias,
        depthwise_initializer=initializer or _he_normal(),
        name=name,
    )(x)


def max_pool(x, size=3, *, strides=2, padding=None, negative=False, name):
    """Applies max pooling. It is padded as `conv` is, with zeros, the smallest value after a ReLU.

    Args:
        x: Keras tensor (batch, height, width, channels).
        size: side of the window.
        strides: step between two windows.
        padding: as for `conv`.
        negative: whether x may be negative. Its padding is then less than every value.
        name: of the layer.
    """
    if negative and padding is None and current_padding() == "symmetric":
        # Keras pads windows without strides on every side, and no pixel of that padding is a maximum.
        x = layers.MaxPooling2D(size, strides=1, padding="same", name=f"{name}_pad")(x)
        return layers.MaxPooling2D(1, strides=strides, name=name)(x)
    x, padding = pad(x, size, strides, padding, name)
    return layers.MaxPooling2D(size, strides=strides, padding=padding, name=name)(x)


def average_pool(x, size=3, *, strides=2, name):
    """Applies average pooling with strides, padded as `conv` is. It counts zeros on every side, but not SAME's."""
    x, padding = pad(x, size, strides, None, name)
    return layers.AveragePooling2D(size, strides=strides, padding=padding, name=name)(x)


def batch_norm(
    x, *, activation=None, gamma="ones", epsilon=1e-5, momentum=0.9, scale=True, name
):  # fmt: skip
    """Applies batch normalisation and the activation, if any: layers `<name>` and `<name>_<activation>`.

    Momentum and epsilon are by default those of the ResNets' code and of torchvision, not Keras's 0.99 and 1e-3.
    """
    x = layers.BatchNormalization(
        momentum=momentum, epsilon=epsilon, scale=scale, gamma_initializer=gamma, name=name
    )(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def layer_norm(x, *, activation=None, epsilon=1e-6, name):
    """Applies layer normalisation over the channels of each pixel, and the activation, if any, as `batch_norm`."""
    x = FastLayerNormalization(epsilon=epsilon, name=name)(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def conv_norm(
    x, filters, kernel_size, *, norm, suffix="norm", strides=1, dilation=1, groups=1, padding=None,
    use_bias=False, activation=None, initializer=None, name, **norm_options,
):  # fmt: skip
    """Applies `conv`, a normalisation and an activation.

    The layers are `<name>`, `<name>_<suffix>` and `<name>_<suffix>_<activation>`.

    Args:
        norm: `norm(x, activation=..., name=..., **norm_options)`, such as `batch_norm` or `layer_norm`.
        suffix: of the normalisation's name.
        **norm_options: options of `norm`.
        Others: as for `conv`.
    """
    x = conv(
        x, filters, kernel_size, strides=strides, dilation=dilation, groups=groups, padding=padding,
        use_bias=use_bias, initializer=initializer, name=name,
    )  # fmt: skip
    return norm(x, activation=activation, name=f"{name}_{suffix}", **norm_options)


def depthwise_norm(
    x, kernel_size, *, norm, suffix="norm", strides=1, padding=None, use_bias=False,
    activation=None, name, **norm_options,
):  # fmt: skip
    """Applies `depthwise`, a normalisation and an activation, with the names of `conv_norm`."""
    x = depthwise(
        x, kernel_size, strides=strides, padding=padding, use_bias=use_bias, name=name
    )  # fmt: skip
    return norm(x, activation=activation, name=f"{name}_{suffix}", **norm_options)


# The last batch norm of a residual branch may have gamma="zeros". Each block is then the identity at first, and deep
# networks train from the first step (Goyal 2017, arXiv:1706.02677, section 5.1). This needs shortcuts that project:
# with shortcuts padded by zeros most channels would be zero at first.
conv_bn = partial(conv_norm, norm=batch_norm, suffix="bn")
depthwise_bn = partial(depthwise_norm, norm=batch_norm, suffix="bn")


def _he_normal():
    """Returns a new initialiser: one object shared by two layers would give both the same values."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")

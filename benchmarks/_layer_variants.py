"""Other implementations of Keras layers, and networks in which they replace the originals, to find what is slow.

For measurements only. `derive_batch_norm`, `group_depthwise` and `remove_padding` compute the same as the layers that
they replace (except for maps of even size that are padded on all sides); `replace_relu6` does not. The weights of
`group_depthwise` have another shape.
"""

import functools

import keras
import tensorflow as tf

from kapps.layers import GroupedConv2D


class CustomGradientBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm of elementwise operations with its own gradient, which reads the map fewer times."""

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = _batch_norm(
            inputs,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            self.epsilon,
        )
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
        return outputs


@tf.custom_gradient
def _batch_norm(x, gamma, beta, epsilon):
    axes = list(range(len(x.shape) - 1))
    mean, variance = tf.nn.moments(x, axes)
    inverse = tf.math.rsqrt(variance + epsilon)
    factor = gamma * inverse

    def gradient(upstream, *_):
        count = tf.cast(tf.size(x) / x.shape[-1], x.dtype)
        to_beta = tf.reduce_sum(upstream, axes)
        to_gamma = inverse * (tf.reduce_sum(upstream * x, axes) - mean * to_beta)
        # dx = factor (dy - mean(dy) - x' mean(dy x')), x' the normalised x; terms are collected by dy, x and constants
        slope = -factor * inverse * to_gamma / count
        return (
            upstream * factor + (x * slope - (slope * mean + factor * to_beta / count)),
            to_gamma,
            to_beta,
            None,
        )

    return (x * factor + (beta - mean * factor), mean, variance), gradient


class ShiftedDepthwise(keras.layers.DepthwiseConv2D):
    """A depthwise convolution, strides 1 and "same": one product with a shifted map for each kernel position."""

    def call(self, inputs):
        height, width = self.kernel_size
        _, rows, columns, _ = inputs.shape
        padded = tf.pad(inputs, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)))
        return tf.add_n(
            [
                padded[:, i : i + rows, j : j + columns] * self.kernel[i, j, :, 0]
                for i in range(height)
                for j in range(width)
            ]
        )


class PaddedConv2D(keras.layers.Conv2D):
    """A convolution without bias whose operation pads kernel_size // 2 on every side."""

    def call(self, inputs):
        sides = [[size // 2] * 2 for size in self.kernel_size]
        return tf.nn.conv2d(inputs, self.kernel, self.strides, [[0, 0], *sides, [0, 0]])


class PaddedDepthwise(keras.layers.DepthwiseConv2D):
    """A depthwise convolution without bias whose operation pads kernel_size // 2 on every side."""

    def call(self, inputs):
        sides = [[size // 2] * 2 for size in self.kernel_size]
        strides = (1, *self.strides, 1)
        return tf.nn.depthwise_conv2d(inputs, self.kernel, strides, [[0, 0], *sides, [0, 0]])


class PointwiseProduct(keras.layers.Conv2D):
    """A 1x1 convolution without bias as a matrix product."""

    def call(self, inputs):
        return tf.tensordot(inputs, self.kernel[0, 0], 1)


def derive_batch_norm(layer):
    """Batch norm with its own gradient."""
    if type(layer) is keras.layers.BatchNormalization and layer.scale and layer.center:
        return CustomGradientBatchNormalization.from_config(layer.get_config())
    return None


def remove_padding(layer):
    """No padding layers: layers with strides use "same"."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return keras.layers.Identity(name=layer.name)
    strided = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.MaxPooling2D)
    if isinstance(layer, strided) and tuple(layer.strides) != (1, 1):
        return layer.__class__.from_config({**layer.get_config(), "padding": "same"})
    return None


def replace_relu6(layer):
    """ReLU instead of ReLU6."""
    if isinstance(layer, keras.layers.ReLU) and layer.max_value is not None:
        return keras.layers.ReLU(name=layer.name)
    return None


def group_depthwise(layer):
    """Depthwise convolutions as grouped convolutions with one channel in each group."""
    if not isinstance(layer, keras.layers.DepthwiseConv2D):
        return None
    channels = layer.kernel.shape[-2]
    return GroupedConv2D(
        channels,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        groups=channels,
        use_bias=layer.use_bias,
        name=layer.name,
    )


VARIANTS = {
    "batch norm, own gradient": derive_batch_norm,
    "no padding layers": remove_padding,
    "ReLU for ReLU6": replace_relu6,
    "depthwise as grouped": group_depthwise,
}


def replace_layers(model, variants):
    """Returns a copy of a model with some of its layers replaced.

    Args:
        model: a built model.
        variants: names in `VARIANTS`. The first one that replaces a layer is used.
    """
    functions = [VARIANTS[variant] for variant in variants]
    return keras.models.clone_model(
        model, clone_function=functools.partial(_replace_layer, functions=functions)
    )


def _replace_layer(layer, functions):
    for function in functions:
        replacement = function(layer)
        if replacement is not None:
            return replacement
    return layer.__class__.from_config(layer.get_config())

"""Layers of Keras in other ways, and networks with some of theirs changed: what costs how much of a training step.

For measurements: `fused batch norm`, `grouped` and `padding` compute what the layers they replace do (an even map
that is padded on all sides apart); `relu` does not, nor do weights interchange between `grouped` and what it replaces.
"""

import functools

import keras
import tensorflow as tf

from kapps.layers import GroupedConv2D


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm that trains through TensorFlow's one operation, and not through sums, differences and products."""

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else tf.ones(channels),
            offset=self.beta if self.center else tf.zeros(channels),
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        # It returns the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) / channels, "float32")
        self._keep(mean, variance * (count - 1) / count)
        return outputs

    def _keep(self, mean, variance):
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + new * (1.0 - self.momentum))


class DerivedBatchNormalization(FusedBatchNormalization):
    """Batch norm of elementwise operations whose gradient is written out: fewer passes over the map than traced."""

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = _batch_norm(
            inputs,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            self.epsilon,
        )
        self._keep(mean, variance)
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
        # dx = factor (dy - mean(dy) - normalised x mean(dy normalised x)), gathered by dy, x and what is constant
        slope = -factor * inverse * to_gamma / count
        return (
            upstream * factor + (x * slope - (slope * mean + factor * to_beta / count)),
            to_gamma,
            to_beta,
            None,
        )

    return (x * factor + (beta - mean * factor), mean, variance), gradient


class ShiftedDepthwise(keras.layers.DepthwiseConv2D):
    """A depthwise convolution, strides 1 and "same", as one product of a shifted map for each cell of the kernel."""

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
    """A convolution without bias, padded by kernel_size // 2 on every side by the operation itself."""

    def call(self, inputs):
        sides = [[size // 2] * 2 for size in self.kernel_size]
        return tf.nn.conv2d(inputs, self.kernel, self.strides, [[0, 0], *sides, [0, 0]])


class PaddedDepthwise(keras.layers.DepthwiseConv2D):
    """A depthwise convolution without bias, padded by kernel_size // 2 on every side by the operation itself."""

    def call(self, inputs):
        sides = [[size // 2] * 2 for size in self.kernel_size]
        strides = (1, *self.strides, 1)
        return tf.nn.depthwise_conv2d(inputs, self.kernel, strides, [[0, 0], *sides, [0, 0]])


class PointwiseProduct(keras.layers.Conv2D):
    """A 1x1 convolution without bias as one product of matrices."""

    def call(self, inputs):
        return tf.tensordot(inputs, self.kernel[0, 0], 1)


def fused(layer):
    if type(layer) is keras.layers.BatchNormalization:
        return FusedBatchNormalization.from_config(layer.get_config())
    return None


def derived(layer):
    if type(layer) is keras.layers.BatchNormalization and layer.scale and layer.center:
        return DerivedBatchNormalization.from_config(layer.get_config())
    return None


def padding(layer):
    """No layers that pad: what strides pads by "same"."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return keras.layers.Identity(name=layer.name)
    strided = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.MaxPooling2D)
    if isinstance(layer, strided) and tuple(layer.strides) != (1, 1):
        return layer.__class__.from_config({**layer.get_config(), "padding": "same"})
    return None


def relu(layer):
    if isinstance(layer, keras.layers.ReLU) and layer.max_value is not None:
        return keras.layers.ReLU(name=layer.name)
    return None


def grouped(layer):
    """Depthwise convolutions as grouped ones, a channel a group."""
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


CHANGES = {
    "batch norm in one operation": fused,
    "batch norm, own gradient": derived,
    "no padding layers": padding,
    "ReLU for ReLU6": relu,
    "depthwise as grouped": grouped,
}


def changed(model, changes):
    """Returns a network like `model` in which each layer is what the first of `changes` that knows it makes of it.

    Args:
        model: built.
        changes: names in `CHANGES`.
    """
    functions = [CHANGES[change] for change in changes]
    return keras.models.clone_model(
        model, clone_function=functools.partial(_change, functions=functions)
    )


def _change(layer, functions):
    made = (function(layer) for function in functions)
    return next(
        (layer for layer in made if layer is not None),
        None,
    ) or layer.__class__.from_config(layer.get_config())

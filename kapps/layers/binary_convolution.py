"""Binary convolutions: kernels, and inputs too, whose values are -1 and 1.

[1] Rastegari 2016, arXiv:1603.05279 (Binary-Weight-Networks and XNOR-Net), and its authors' code,
    github.com/allenai/XNOR-Net
"""

import math

import keras
import numpy as np
from keras import layers, ops

from kapps._checked import check_argument
from kapps.layers.padding import pad

GRADIENTS = ("paper", "exact")
SHIFTS = np.arange(7, -1, -1, dtype="uint8")
"""The places of the eight weights of a byte: the first weight is the highest bit."""


@keras.saving.register_keras_serializable("kapps")
class ZeroMeanClip(keras.constraints.Constraint):
    """Subtracts the mean over the input channels of a kernel, then clips it to [-1, 1], as the code of [1] does.

    Kernel: (height, width, channels, filters).
    """

    def __call__(self, w):
        return ops.clip(w - ops.mean(w, axis=-2, keepdims=True), -1.0, 1.0)


@keras.saving.register_keras_serializable("kapps")
class BinaryConv2D(layers.Conv2D):
    """A `keras.layers.Conv2D` with the kernel alpha sign(W), where alpha is the mean of |W| of each filter.

    The inputs are convolved with sign(W), and each output is multiplied by alpha, so that sums of binary inputs are
    exact. The weights W are real numbers, which training updates; sign(0) is 1. After each update `ZeroMeanClip`
    subtracts their mean over the input channels and clips them to [-1, 1]. With `binary_input` the input x is sign(x)
    too, with sign(0) = 0, so that padding stays zero; its gradient is that of x where |x| < 1, and 0 elsewhere. With
    `input_scale` the output is multiplied by K of [1], section 3.2: the mean of |x| over the channels, averaged over
    the window. The authors' code has no K.

    With n weights in a filter, of c input channels, and G the gradient with respect to the binary kernel, the gradient
    with respect to W is

        "paper":  G (1/n + alpha 1[|W| < 1])                              equation 12 of [1]
        "exact":  G alpha 1[|W| < 1] + sign(W) sum(G sign(W)) / n

    The second one is the derivative of alpha sign(W) with a straight-through sign; the sum is over a filter. With
    `scale_gradient` either one is multiplied by n (1 - 1/c), as in the authors' code.

    Input: (batch, height, width, channels), any floating dtype, 2 channels or more. Output: (batch, height', width',
    filters). Weights: W (height, width, channels, filters) and the bias (filters,); `kernel` is alpha sign(W).

    Args:
        filters: number of output channels.
        kernel_size: side of the kernel, or (height, width).
        binary_input: whether the input is binary too.
        input_scale: whether the output is multiplied by K; only with `binary_input` and without groups.
        gradient: "paper" or "exact".
        scale_gradient: whether the gradient of W is multiplied by n (1 - 1/c).
        **kwargs: of `keras.layers.Conv2D`.

    Raises:
        ValueError: for options that exclude each other, an unknown gradient, and an input of one channel, whose weights
            minus their mean are zero.
    """

    def __init__(
        self, filters, kernel_size, binary_input=False, input_scale=False, gradient="paper",
        scale_gradient=True, **kwargs,
    ):  # fmt: skip
        for name, value in (("filters", filters), ("groups", kwargs.get("groups", 1))):
            check_argument("BinaryConv2D", name, value, int)
        own = {
            "binary_input": binary_input, "input_scale": input_scale, "scale_gradient": scale_gradient
        }  # fmt: skip
        for name, value in own.items():
            check_argument("BinaryConv2D", name, value, bool)
        kwargs.setdefault("kernel_constraint", ZeroMeanClip())
        super().__init__(filters, kernel_size, **kwargs)
        if gradient not in GRADIENTS:
            raise ValueError(f'{self.name}: gradient={gradient!r} is not "paper" or "exact"')
        if input_scale and (not binary_input or self.groups > 1):
            raise ValueError(
                f"{self.name}: input_scale=True needs binary_input=True and groups=1, not "
                f"binary_input={binary_input!r} and groups={self.groups}"
            )
        self.binary_input, self.input_scale = binary_input, input_scale
        self.gradient, self.scale_gradient = gradient, scale_gradient

    def build(self, input_shape):
        if self._channels(input_shape) < 2:
            raise ValueError(
                f"{self.name}: an input of {self._channels(input_shape)} channel in a group has a kernel of zeros, "
                "since the mean over the channels is subtracted; use keras.layers.Conv2D"
            )
        super().build(input_shape)

    def _channels(self, input_shape):
        axis = 1 if self.data_format == "channels_first" else -1
        return input_shape[axis] // self.groups

    @property
    def kernel(self):
        signs, alpha = self._signs_and_scales()
        return signs * alpha

    def _signs_and_scales(self):
        """Returns sign(W), and alpha (filters,), in the compute dtype."""
        w = _at_least_float32(super().kernel)
        signs, alpha = binary_kernel(w, self.gradient, self.scale_gradient)
        return ops.cast(signs, self.compute_dtype), ops.cast(alpha, self.compute_dtype)

    def call(self, inputs):
        signs, alpha = self._signs_and_scales()
        shape = (-1, 1, 1) if self.data_format == "channels_first" else (-1,)
        x = binary_sign(inputs) if self.binary_input else inputs
        outputs = self.convolution_op(x, signs) * ops.reshape(alpha, shape)
        if self.input_scale:
            outputs = outputs * self._input_scales(inputs)
        if self.use_bias:
            outputs = outputs + ops.reshape(self.bias, shape)
        return outputs if self.activation is None else self.activation(outputs)

    def _input_scales(self, inputs):
        """Returns K, (batch, height', width', 1); zeros of the padding count."""
        axis = 1 if self.data_format == "channels_first" else -1
        means = ops.mean(ops.abs(inputs), axis=axis, keepdims=True)
        window = np.full((*self.kernel_size, 1, 1), 1 / math.prod(self.kernel_size))
        return self.convolution_op(means, ops.convert_to_tensor(window, self.compute_dtype))

    def get_config(self):
        names = ("binary_input", "input_scale", "gradient", "scale_gradient")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    # Keras's convolutions write `kernel`, which is not a weight here.
    def save_own_variables(self, store):
        layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        layers.Layer.load_own_variables(self, store)

    def to_packed(self):
        """Returns the `PackedBinaryConv2D` of the same configuration."""
        return PackedBinaryConv2D.from_config({**self.get_config(), "kernel_constraint": None})

    def packed_weights(self):
        """Returns the values of its weights: bits, alpha, and the bias where there is one."""
        w = _at_least_float32(super().kernel)
        alpha = ops.convert_to_numpy(ops.mean(ops.abs(w), axis=(0, 1, 2)))
        weights = [np.packbits(ops.convert_to_numpy(w) >= 0), alpha]
        return [*weights, ops.convert_to_numpy(self.bias)] if self.use_bias else weights

    def to_keras_layers(self):
        """Returns the same computation as a Keras layer with the kernel alpha sign(W).

        Where the input is binary, it is a model of Keras's layers: a convolution with sign(W), and alpha and the bias
        as a depthwise one.
        """
        own = ("binary_input", "input_scale", "gradient", "scale_gradient")
        config = {key: value for key, value in self.get_config().items() if key not in own}
        config["kernel_constraint"] = None
        if not self.binary_input:
            return layers.Conv2D.from_config(config)
        plain = {"use_bias": False, "activation": None, "name": f"{self.name}_signs"}
        x = layers.Input(self.input.shape[1:], dtype=self.compute_dtype)
        y = layers.Conv2D.from_config({**config, **plain})(ops.sign(x))
        if self.input_scale:
            y = y * self._input_scales(x)
        options = {key: config[key] for key in ("data_format", "dtype", "use_bias", "activation")}
        y = layers.DepthwiseConv2D(1, name=f"{self.name}_scale", **options)(y)
        return keras.Model(x, y, name=self.name)

    def keras_weights(self):
        """Returns the values of those layers' weights: the kernels, and the bias where there is one."""
        signs, alpha = self._signs_and_scales()
        kernels = (
            [signs, ops.reshape(alpha, (1, 1, -1, 1))] if self.binary_input else [signs * alpha]
        )
        weights = [ops.convert_to_numpy(ops.cast(x, self.variable_dtype)) for x in kernels]
        return [*weights, ops.convert_to_numpy(self.bias)] if self.use_bias else weights


@keras.saving.register_keras_serializable("kapps")
class PackedBinaryConv2D(BinaryConv2D):
    """A `BinaryConv2D` for inference, with one bit for each weight and alpha for each filter.

    `kapps.export.pack` makes it. It has the arguments, inputs and outputs of `BinaryConv2D`. Its weights are not
    trained: `bits`, uint8 (weights / 8, rounded up), 1 for a weight of alpha and 0 for one of -alpha in row-major
    order with the first weight in the highest bit; `alpha` (filters,); the bias (filters,).
    """

    def build(self, input_shape):
        self._shape = (*self.kernel_size, self._channels(input_shape), self.filters)
        self.bits = self._add_constant((-(-math.prod(self._shape) // 8),), "bits", "uint8")
        self.alpha = self._add_constant((self.filters,), "alpha")
        self.bias = self._add_constant((self.filters,), "bias") if self.use_bias else None
        self.built = True

    def _add_constant(self, shape, name, dtype=None):
        return self.add_weight(
            shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name
        )

    def _signs_and_scales(self):
        bits = ops.right_shift(ops.expand_dims(self.bits, -1), ops.convert_to_tensor(SHIFTS))
        bits = ops.bitwise_and(bits, ops.ones_like(bits))
        bits = ops.reshape(bits, (-1,))[: math.prod(self._shape)]
        signs = 2 * ops.cast(bits, self.compute_dtype) - 1
        return ops.reshape(signs, self._shape), ops.cast(self.alpha, self.compute_dtype)

    def to_packed(self):
        """Returns a layer of the same configuration."""
        return PackedBinaryConv2D.from_config(self.get_config())

    def packed_weights(self):
        """Returns the values of the weights."""
        return self.get_weights()


def binary_sign(x):
    """Returns the sign of x, -1, 0 or 1; its gradient is that of x where |x| < 1, and 0 elsewhere.

    Args:
        x: tensor of any shape, any floating dtype.
    """
    return _with_gradient_of(ops.sign(x), ops.where(ops.abs(x) < 1, x, ops.zeros_like(x)))


def binary_kernel(w, gradient="paper", scale_gradient=True):
    """Returns sign(W), and alpha (filters,). Their product has the gradient of `BinaryConv2D`.

    Args:
        w: tensor (height, width, channels, filters), float32 or float64.
        gradient: "paper" or "exact".
        scale_gradient: whether the gradient is multiplied by n (1 - 1/c).
    """
    n, channels = math.prod(w.shape[:-1]), w.shape[-2]
    factor = n * (1 - 1 / channels) if scale_gradient else 1.0
    magnitudes = ops.abs(w)
    alpha = ops.mean(magnitudes, axis=(0, 1, 2))
    signs = 2 * ops.cast(w >= 0, w.dtype) - 1
    path = ops.cast(magnitudes < 1, w.dtype)
    if gradient == "paper":  # the gradient of sign(W) is alpha G
        path, alpha = path + 1 / (n * ops.maximum(alpha, 1e-12)), ops.stop_gradient(alpha)
    signs = _with_gradient_of(signs, factor * w * ops.stop_gradient(path))
    return signs, _with_gradient_of(alpha, factor * alpha)


def _at_least_float32(x):
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.cast(x, keras.backend.result_type(dtype, "float32"))


def _with_gradient_of(value, path):
    """Returns a value exactly, with the gradient of another tensor of its shape."""
    return ops.stop_gradient(value) + (path - ops.stop_gradient(path))


def binary_conv(
    x, filters, kernel_size, *, strides=1, padding=None, use_bias=False, binary_input=False,
    input_scale=False, name,
):  # fmt: skip
    """Applies a `BinaryConv2D`, padded as `kapps.layers.conv` is, with He's initialisation by fan-in as in [1]'s code.

    Args:
        x: Keras tensor (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: side of the kernel.
        strides: step between two windows.
        padding: as for `kapps.layers.conv`.
        use_bias: whether the convolution has biases.
        binary_input: whether the input is binary too.
        input_scale: whether the output is multiplied by K of [1].
        name: of the layer. A padding layer before it is called `<name>_pad`.
    """
    x, padding = pad(x, kernel_size, strides, padding, name)
    return BinaryConv2D(
        filters,
        kernel_size,
        binary_input=binary_input,
        input_scale=input_scale,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)

"""Active shift: each channel moves by a learned displacement."""

import math

import keras
import numpy as np
from keras import layers, ops

from kapps._checked import check_argument
from kapps._values import is_integer, is_number, short

MOST_LIMIT = 64
"""The largest limit of displacements in pixels; the kernel has (2 * limit + 1) ** 2 values for each channel."""


@keras.saving.register_keras_serializable("kapps")
class WithinLimit(keras.constraints.Constraint):
    """Keeps weights in [-limit, limit].

    Args:
        limit: a positive number.
    """

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, w):
        return ops.clip(w, -self.limit, self.limit)

    def get_config(self):
        return {"limit": self.limit}


@keras.saving.register_keras_serializable("kapps")
class ActiveShift(layers.Layer):
    """Moves each channel by a learned displacement, with bilinear interpolation (Jeon 2018, arXiv:1806.07370).

    output[i, j, c] = input[strides * i + y, strides * j + x, c] with the displacement (y, x) of the channel, where
    values between pixels are interpolated and those outside of the map are zero. The two numbers of a channel are its
    only parameters. The derivative of the interpolation is that on the right at integers, as in the authors' layer.

    It is computed as a depthwise convolution whose kernel has at most four values other than 0 for each channel, so
    displacements have a limit. The authors' layer has none.

    Input: (batch, height, width, channels), any floating dtype. Output: (batch, ceil(height / strides),
    ceil(width / strides), channels). The displacements `displacement`, (channels, 2), are in pixels and float32 under
    every precision policy of 32 bits or fewer.

    Args:
        strides: step between two pixels of the output.
        limit: largest displacement in pixels, an integer up to 64. Training keeps the displacements within it.
        gradient_length: length that the gradient of each channel's displacement is scaled to; None for the gradient
            itself. The authors' layer scales it to 1, and their solver multiplies the learning rate by 0.01. With SGD
            that equals a length of 0.01.
        initializer: of the displacements, by default uniform in [-1, 1].
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if `strides` or `limit` is not such an integer, or `gradient_length` is not a positive number.
    """

    def __init__(self, strides=1, limit=2, gradient_length=None, initializer=None, **kwargs):
        check_argument("ActiveShift", "strides", strides, int)
        super().__init__(**kwargs)
        if not is_integer(limit, 1, MOST_LIMIT):
            raise ValueError(
                f"{self.name}: limit={short(limit)} is not an integer from 1 to {MOST_LIMIT}"
            )
        if gradient_length is not None and not (is_number(gradient_length) and gradient_length > 0):
            raise ValueError(
                f"{self.name}: gradient_length={short(gradient_length)} is not None or a positive number"
            )
        self.strides, self.limit = (strides, strides), limit
        self.gradient_length = gradient_length
        if initializer is None:
            initializer = keras.initializers.RandomUniform(-1.0, 1.0)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        self.displacement = self.add_weight(
            shape=(input_shape[-1], 2),
            initializer=self.initializer,
            constraint=WithinLimit(self.limit),
            autocast=False,  # half precision would round displacements
            name="displacement",
        )

    def bilinear_kernel(self):
        """Returns the depthwise kernel (2 * limit + 1, 2 * limit + 1, channels, 1) of the displacements."""
        displacement = 1 * self.displacement  # a tensor: no custom gradient takes a variable
        if self.gradient_length is not None:
            displacement = _with_gradient_length(displacement, self.gradient_length)
        values = ops.stop_gradient(displacement)
        clipped = ops.clip(values, -self.limit, self.limit)
        displacement = displacement - (values - clipped)
        # The pixel on the left of the displacement, such that the one on its right is in the kernel too.
        left = ops.clip(ops.floor(clipped), -self.limit, self.limit - 1)
        right_share = displacement - left
        pixels = np.arange(-self.limit, self.limit + 1, dtype="float32")[:, None, None]
        at_left = ops.cast(ops.equal(pixels, ops.cast(left, "float32")), left.dtype)
        at_right = ops.cast(ops.equal(pixels - 1, ops.cast(left, "float32")), left.dtype)
        shares = at_left * (1 - right_share) + at_right * right_share  # (pixels, channels, 2)
        return (shares[:, None, :, 0] * shares[None, :, :, 1])[..., None]

    def call(self, inputs):
        kernel = ops.cast(self.bilinear_kernel(), inputs.dtype)
        strides, padding = self.strides[0], "same"
        if strides > 1:  # the same padding on every side
            sides = (self.limit, self.limit)
            inputs, padding = ops.pad(inputs, ((0, 0), sides, sides, (0, 0))), "valid"
        return ops.depthwise_conv(
            inputs, kernel, strides=strides, padding=padding, data_format="channels_last"
        )

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        strides = self.strides[0]
        return (batch, *(None if n is None else -(-n // strides) for n in sides), channels)

    def get_config(self):
        options = {
            "strides": self.strides[0],
            "limit": self.limit,
            "gradient_length": self.gradient_length,
            "initializer": keras.initializers.serialize(self.initializer),
        }
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a bilinear interpolation of four values (see `kapps.analysis.register_cost`)."""
        size = math.prod(output_shapes[0])
        window = {
            "kernel": (2 * self.limit + 1,) * 2,
            "strides": self.strides,
            "padding": ((self.limit, self.limit),) * 2,
            "dilation": (1, 1),
            "axes": (1, 2),
            "groups": input_shapes[0][-1],
        }
        return {"elementwise": 4 * size, "additions": 3 * size, "window": window}

    def to_keras_layers(self):
        """Returns Keras's depthwise convolution, after a padding if it has strides."""
        options = {"use_bias": False, "data_format": "channels_last", "dtype": self.dtype_policy}
        size = 2 * self.limit + 1
        if self.strides[0] == 1:
            return layers.DepthwiseConv2D(size, padding="same", **options, name=self.name)
        steps = [
            layers.Input(self.input.shape[1:], dtype=self.input.dtype),
            layers.ZeroPadding2D(self.limit, data_format="channels_last", dtype=self.dtype_policy),
            layers.DepthwiseConv2D(size, strides=self.strides, **options),
        ]
        return keras.Sequential(steps, name=self.name)

    def keras_weights(self):
        """Returns the values of that layer's weights."""
        return [ops.convert_to_numpy(self.bilinear_kernel())]


def _with_gradient_length(values, length):
    """Returns the values; in the backward pass the gradient of each row has a given length, or is 0."""

    @ops.custom_gradient
    def identity(values):
        def gradient(*arguments, upstream=None):
            if upstream is None:  # PyTorch passes it by name
                (upstream,) = arguments
            norm = ops.sqrt(ops.sum(ops.square(upstream), axis=-1, keepdims=True))
            return length * upstream / ops.maximum(norm, 1e-30)

        return values * 1, gradient

    return identity(values)

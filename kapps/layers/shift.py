"""Shift: groups of channels move by different offsets, in place of a spatial convolution."""

import keras
import numpy as np
from keras import layers, ops

from kapps._checked import check_argument


def shift_offsets(channels, kernel_size=3, dilation=1):
    """Returns the offset of each channel, (vertical, horizontal) in pixels: an integer array (channels, 2).

    The kernel_size ** 2 offsets follow each other row by row. Each has channels // kernel_size ** 2 channels, and the
    offset (0, 0) also has those that are left over.
    """
    reach = kernel_size // 2
    offsets = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    size, rest = divmod(channels, len(offsets))
    sizes = [size + rest * (offset == (0, 0)) for offset in offsets]
    return np.repeat(np.array(offsets) * dilation, sizes, axis=0)


@keras.saving.register_keras_serializable("kapps")
class Shift(layers.Layer):
    """Moves groups of channels by different offsets, without parameters (Wu 2017, arXiv:1711.08141).

    output[i, j, c] = input[i + y, j + x, c] with the offset (y, x) of the channel (see `shift_offsets`), and zeros
    outside of the map. Which group moves where has no influence on networks with 1x1 convolutions before and after.

    It is computed as a depthwise convolution whose kernel has a single 1 for each channel: the fastest form with
    TensorFlow on a CPU (`benchmarks/shift.py`), and one delegated operation in a TFLite file. Infinite and NaN values
    spread to the pixels around them.

    Input and output: (batch, height, width, channels), any floating dtype.

    Args:
        kernel_size: side of the square of offsets, an odd integer; the offsets are at most kernel_size // 2.
        dilation: factor of all offsets.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: if `kernel_size` is not odd, or if a number is not a positive integer.
    """

    def __init__(self, kernel_size=3, dilation=1, **kwargs):
        for name, value in (("kernel_size", kernel_size), ("dilation", dilation)):
            check_argument("Shift", name, value, int)
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"{self.name}: kernel_size={kernel_size} is not odd")
        self.kernel_size, self.dilation = kernel_size, dilation

    def build(self, input_shape):
        channels = input_shape[-1]
        y, x = (shift_offsets(channels, self.kernel_size) + self.kernel_size // 2).T
        self.one_hot_kernel = np.zeros((self.kernel_size, self.kernel_size, channels, 1), "float32")
        self.one_hot_kernel[y, x, np.arange(channels)] = 1
        self.built = True

    def call(self, inputs):
        kernel = ops.convert_to_tensor(self.one_hot_kernel, inputs.dtype)
        return ops.depthwise_conv(
            inputs, kernel, padding="same", data_format="channels_last", dilation_rate=self.dilation
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        options = {"kernel_size": self.kernel_size, "dilation": self.dilation}
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns no operation, since values only move, and the window (see `kapps.analysis.register_cost`)."""
        del output_shapes
        reach = self.kernel_size // 2 * self.dilation
        window = {
            "kernel": (self.kernel_size,) * 2,
            "strides": (1, 1),
            "padding": ((reach, reach),) * 2,
            "dilation": (self.dilation,) * 2,
            "axes": (1, 2),
            "groups": input_shapes[0][-1],
        }
        return {"window": window}

    def to_keras_layers(self):
        """Returns Keras's depthwise convolution, whose kernel is not trained."""
        return layers.DepthwiseConv2D(
            self.kernel_size, padding="same", dilation_rate=self.dilation, use_bias=False,
            data_format="channels_last", trainable=False, dtype=self.dtype_policy, name=self.name,
        )  # fmt: skip

    def keras_weights(self):
        """Returns the values of that layer's weights."""
        return [self.one_hot_kernel]

"""Max pooling that returns the positions of the maxima, and unpooling to these positions."""

import math

import keras
from keras import layers, ops

from kapps._checked import check_argument


@keras.saving.register_keras_serializable("kapps")
class MaxPoolWithIndices(layers.Layer):
    """Returns the maximum of each window and its position in the window (Badrinarayanan 2015, arXiv:1511.00561).

    Windows do not overlap. A map with a side that `size` does not divide has smaller windows on the right and bottom,
    as in Caffe (ceil mode). The position is 0 in the upper left corner and grows along the rows; of equal maxima the
    first one counts. All operations are comparisons and selections, which every backend and exported file has.

    Input: (batch, height, width, channels), any floating dtype. Outputs: the maxima, (batch, ceil(height / size),
    ceil(width / size), channels), and the positions, int32 of the same shape.

    Args:
        size: side of the window, and step between two windows.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, size=2, **kwargs):
        check_argument("MaxPoolWithIndices", "size", size, int)
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        size = self.size
        x = _extended(_extended(inputs, 1, size), 2, size)
        pooled = ops.max_pool(x, size, size, padding="valid", data_format="channels_last")
        values = self.window_values(x, *ops.shape(pooled)[1:3])
        indices = ops.full_like(values[-1], len(values) - 1, dtype="int32")
        for i in reversed(range(len(values) - 1)):
            indices = ops.where(ops.equal(values[i], pooled), i, indices)
        return pooled, ops.cast(indices, "int32")

    def window_values(self, x, rows, columns):
        """Returns the values at each position of all windows, a list of maps of the output's size."""
        places = [(i, j) for i in range(self.size) for j in range(self.size)]
        return [x[:, i :: self.size, j :: self.size][:, :rows, :columns] for i, j in places]

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        sides = (None if n is None else -(-n // self.size) for n in sides)
        shape = (batch, *sides, channels)
        return shape, shape

    def compute_output_spec(self, inputs):
        shape, _ = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, "int32")

    def get_config(self):
        return {**super().get_config(), "size": self.size}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns two comparisons for each position of a window but one: for the maximum and for its position (see
        `kapps.analysis.register_cost`)."""
        sides = zip(input_shapes[0][1:3], output_shapes[0][1:3], strict=True)
        window = {
            "kernel": (self.size, self.size),
            "strides": (self.size, self.size),
            "padding": tuple((0, self.size * m - n) for n, m in sides),
            "dilation": (1, 1),
            "axes": (1, 2),
        }
        comparisons = 2 * (self.size**2 - 1) * math.prod(output_shapes[0])
        return {"elementwise": comparisons, "window": window}


@keras.saving.register_keras_serializable("kapps")
class MaxUnpool(layers.Layer):
    """Writes each value to the position of a maximum, and zeros elsewhere (Badrinarayanan 2015, arXiv:1511.00561).

    Inputs: the values, (batch, height, width, channels), any floating dtype, and the positions in windows of size x
    size that `MaxPoolWithIndices` returned, int32 of the same shape. Output: (batch, size * height, size * width,
    channels). `kapps.layers.crop_like` cuts it to the size of a map with an odd side.

    Args:
        size: side of a window.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, size=2, **kwargs):
        check_argument("MaxUnpool", "size", size, int)
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        x, indices = inputs
        batch, height, width, channels = ops.shape(x)
        zeros, size = ops.zeros_like(x), self.size
        rows = []
        for i in range(size):
            values = [
                ops.where(ops.equal(indices, i * size + j), x, zeros) for j in range(size)
            ]  # fmt: skip
            row = ops.stack(values, axis=3)
            rows.append(ops.reshape(row, (batch, height, width * size, channels)))
        shape = (batch, height * size, width * size, channels)
        return ops.reshape(ops.stack(rows, axis=2), shape)

    def compute_output_shape(self, input_shape):
        (batch, *sides, channels), _ = input_shape
        return (batch, *(None if n is None else n * self.size for n in sides), channels)

    def get_config(self):
        return {**super().get_config(), "size": self.size}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns one comparison for each value of the output (see `kapps.analysis.register_cost`)."""
        del input_shapes
        window = {
            "kernel": (self.size, self.size),
            "strides": (self.size, self.size),
            "padding": ((0, 0), (0, 0)),
            "dilation": (1, 1),
            "axes": (1, 2),
            "transposed": True,
        }
        return {"elementwise": math.prod(output_shapes[0]), "window": window}


def _extended(x, axis, size):
    """Returns a map with copies of its last row (axis 1) or column (axis 2), so that windows of `size` cover it.

    A copy comes after the value itself, so it is never the first maximum of a window.
    """
    length = x.shape[axis]
    copies = size - 1 if length is None else -length % size
    last = x[:, -1:] if axis == 1 else x[:, :, -1:]
    return ops.concatenate([x, *[last] * copies], axis=axis) if copies else x

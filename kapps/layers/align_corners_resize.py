"""Bilinear interpolation with aligned corners."""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class AlignCornersResize(layers.Layer):
    """Resizes a map to the height and width of another map, by bilinear interpolation with aligned corners.

    Row i of m reads the input's rows at i (n - 1) / (m - 1) of n, and the columns likewise, so the pixels in the
    corners keep their values. It is PyTorch's `align_corners=True` and the layer Interp of Caffe. Keras's own resizing
    aligns the edges of the maps. The interpolation along each axis is a product with a small constant matrix, which
    every backend and exported file has.

    Inputs: two tensors, (batch, height, width, channels) and (batch, new height, new width, any channels), any floating
    dtype. Output: (batch, new height, new width, channels). Only the second tensor's shape matters.
    """

    def call(self, inputs):
        x, other = inputs
        _, height, width, _ = ops.shape(x)
        _, new_height, new_width, _ = ops.shape(other)
        # Dense layers of the last axis, with constant weights: exported files have them as such.
        x = ops.transpose(x, (0, 3, 1, 2))
        x = ops.matmul(x, self.matrix(width, new_width))
        x = ops.transpose(x, (0, 1, 3, 2))
        x = ops.matmul(x, self.matrix(height, new_height))
        return ops.transpose(x, (0, 3, 2, 1))

    def matrix(self, length, new_length):
        """Returns the weights of each input position (row) for each output position (column)."""
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        last = ops.cast(length - 1, dtype)
        steps = ops.cast(ops.maximum(new_length - 1, 1), dtype)
        places = ops.cast(ops.arange(new_length), dtype) * (last / steps)
        distances = ops.abs(ops.cast(ops.arange(length), dtype)[:, None] - places)
        return ops.cast(ops.relu(1 - distances), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        x, other = input_shape
        return (x[0], *other[1:3], x[3])

    def profile_cost(self, input_shapes, output_shapes):
        """Returns two multiplications and an addition for each axis, as for Keras's bilinear interpolation.

        The zeros of the matrices do not count (see `kapps.analysis.register_cost`).
        """
        del input_shapes
        elements = 2 * math.prod(output_shapes[0])
        return {"elementwise": 2 * elements, "additions": elements, "reach": "mix", "axes": (1, 2)}

    def to_keras_layers(self):
        """Returns the products as Keras's layers with the matrices as weights, for maps of known size."""
        x, other = (layers.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in self.input)
        shape = self.compute_output_shape([x.shape, other.shape])
        if None in (*shape[1:], *x.shape[1:]):
            raise ValueError(
                f"{self.name}: portable=True needs a fixed height and width for an interpolation; give them in "
                "input_shape, for example (224, 224, 3)"
            )
        options = {"trainable": False, "dtype": self.dtype_policy}
        y = layers.EinsumDense(
            "bhwc,wv->bhvc", (x.shape[1], *shape[2:]), name="columns", **options
        )(x)
        y = layers.EinsumDense("bhvc,hu->buvc", shape[1:], name="rows", **options)(y)
        return keras.Model([x, other], y, name=self.name)

    def keras_weights(self):
        """Returns the matrices."""
        x, other = (tensor.shape for tensor in self.input)
        return [ops.convert_to_numpy(self.matrix(x[axis], other[axis])) for axis in (2, 1)]

"""Attention from the pixels of one map to those of another."""

import keras
from keras import layers, ops

from kapps.layers.multi_head_attention import scores_dtype


@keras.saving.register_keras_serializable("kapps")
class PixelAttention(layers.Layer):
    """Dot-product attention without a scale: softmax(Q K^T) V over all pixels (Zhang 2018, arXiv:1805.08318).

    Inputs: the queries Q (batch, height, width, size), the keys K (batch, height', width', size) and the values V
    (batch, height', width', channels), any floating dtype, of maps of fixed size. Output: (batch, height, width,
    channels). The softmax is float32 or wider under any policy.
    """

    def build(self, input_shapes):
        q, k, v = (tuple(shape) for shape in input_shapes)
        if q[-1] != k[-1] or k[1:-1] != v[1:-1]:
            raise ValueError(
                f"{self.name}: queries {q[1:]}, keys {k[1:]} and values {v[1:]} do not fit: queries and keys "
                "have as many channels, keys and values as many pixels"
            )

    def call(self, inputs):
        q, k, v = inputs
        _, height, width, _ = q.shape
        q, k, v = (ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3])) for x in (q, k, v))
        dtype = scores_dtype(q)
        scores = ops.matmul(ops.cast(q, dtype), ops.swapaxes(ops.cast(k, dtype), 1, 2))
        y = ops.matmul(ops.cast(ops.softmax(scores, axis=-1), v.dtype), v)
        return ops.reshape(y, (-1, height, width, v.shape[-1]))

    def compute_output_shape(self, input_shapes):
        q, _, v = input_shapes
        return (*q[:-1], v[-1])

    def profile_cost(self, input_shapes, output_shapes):
        """Returns the two products and the softmax (see `kapps.analysis.register_cost`)."""
        del output_shapes
        (batch, height, width, size), (_, rows, columns, _), (*_, channels) = input_shapes
        pairs = batch * height * width * rows * columns
        return {
            "macs": pairs * (size + channels),
            "elementwise": pairs,
            "reach": "mix",
            "axes": (1, 2),
        }

    def to_keras_layers(self):
        """Returns the same in Keras's layers."""
        options = {"dtype": self.dtype_policy}
        inputs = [layers.Input(x.shape[1:], dtype=x.dtype) for x in self.input]
        q, k, v = (
            layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]), **options)(x) for x in inputs
        )
        y = layers.Attention(**options)([q, v, k])  # query, value, key
        _, height, width, _ = self.input[0].shape
        y = layers.Reshape((height, width, v.shape[-1]), **options)(y)
        return keras.Model(inputs, y, name=self.name)

"""Double attention: features are gathered from the whole map, then distributed to its pixels.

[1] Chen 2018, arXiv:1810.11579
"""

import keras
from keras import layers, ops

from kapps.layers.multi_head_attention import scores_dtype


@keras.saving.register_keras_serializable("kapps")
class DoubleAttention(layers.Layer):
    """Gathers n vectors of a map by attention to its pixels, and distributes them to the pixels by attention [1].

    For the maps A of m channels, B and V of n channels,

    G = A softmax_pixels(B)^T, m x n,  Z = G softmax_channels(V), m x (height width)

    Each of the n vectors of G is a mean of the features A, whose weights are a softmax over all pixels. The vector of a
    pixel in Z is a mean of the n vectors, whose weights are a softmax over the n channels of V at this pixel. No matrix
    has a number for each pair of pixels.

    Inputs: A, (batch, height, width, m), B and V, both (batch, height, width, n), any floating dtype. Output: Z,
    (batch, height, width, m). Both softmaxes are float32 or wider under any policy.
    """

    def build(self, input_shapes):
        _, b, v = input_shapes
        if b[-1] != v[-1]:
            raise ValueError(
                f"{self.name}: B has {b[-1]:,} channels and V has {v[-1]:,}; they must have as many"
            )

    def call(self, inputs):
        features, gather, distribute = inputs
        batch, height, width, channels = ops.shape(features)
        dtype = scores_dtype(features)
        gather, distribute = (
            ops.reshape(ops.cast(x, dtype), (-1, height * width, x.shape[-1]))
            for x in (gather, distribute)
        )
        features = ops.reshape(features, (-1, height * width, channels))
        # The softmax over the pixels, along the last axis.
        gather = _softmax(ops.swapaxes(gather, 1, 2))
        vectors = ops.matmul(ops.cast(gather, features.dtype), features)  # (batch, n, m)
        y = ops.matmul(ops.cast(_softmax(distribute), features.dtype), vectors)
        return ops.reshape(y, (batch, height, width, channels))

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]

    def profile_cost(self, input_shapes, output_shapes):
        """Returns the two products and the two softmaxes (see `kapps.analysis.register_cost`)."""
        del output_shapes
        (batch, height, width, m), (*_, n), _ = input_shapes
        pixels = batch * height * width
        return {
            "macs": 2 * pixels * m * n,
            "elementwise": 2 * pixels * n,
            "reach": "mix",
            "axes": (1, 2),
        }

    def to_keras_layers(self):
        """Returns the same in Keras's layers, for maps of known size."""
        _, height, width, m = self.input[0].shape
        if None in (height, width):
            raise ValueError(
                f"{self.name}: portable=True needs a fixed height and width for attention; give them in "
                "input_shape, for example (224, 224, 3)"
            )
        options = {"dtype": self.dtype_policy}
        inputs = [layers.Input(x.shape[1:], dtype=x.dtype) for x in self.input]
        features, gather, distribute = (
            layers.Reshape((height * width, x.shape[-1]), **options)(x) for x in inputs
        )
        gather = layers.Softmax(axis=1, **options)(gather)
        vectors = layers.Dot(axes=1, **options)([gather, features])  # (batch, n, m)
        distribute = layers.Softmax(**options)(distribute)
        y = layers.Dot(axes=(2, 1), **options)([distribute, vectors])
        y = layers.Reshape((height, width, m), **options)(y)
        return keras.Model(inputs, y, name=self.name)


def _softmax(x):
    """Returns the softmax along the last axis. Keras warns of the softmax of one number."""
    return ops.exp(x - x) if x.shape[-1] == 1 else ops.softmax(x, axis=-1)

"""Local response normalisation over neighbouring channels."""

import math

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class LocalResponseNormalization(layers.Layer):
    """y_i = x_i / (k + alpha * sum of the squares of x_j)^beta, j the `size` channels around i.

    The defaults are k, n, alpha and beta of Krizhevsky 2012, section 3.3. Channels before the first and after the last
    count as zero. Caffe's and PyTorch's alpha is `size` times this one, and their k is 1. The computation is in float32
    at least, since squares overflow in half precision.

    Input and output: (batch, height, width, channels), any floating dtype.
    """

    def __init__(self, k=2.0, size=5, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"{self.name}: size must be an odd number of channels, not {size!r}")
        self.k, self.size, self.alpha, self.beta = k, size, alpha, beta

    def call(self, inputs):
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        x = ops.cast(inputs, keras.backend.result_type(dtype, "float32"))
        channels = x.shape[-1]
        squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (self.size // 2, self.size // 2)))
        total = squares[..., :channels]
        for i in range(1, self.size):
            total = total + squares[..., i : i + channels]
        return ops.cast(x / self._power(self.k + self.alpha * total), dtype)

    def _power(self, x):
        """Returns x^beta. For 0.75 it uses roots, which are faster and supported by delegates of phones."""
        if self.beta != 0.75:
            return ops.power(x, self.beta)
        root = ops.sqrt(x)
        return root * ops.sqrt(root)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = {"k": self.k, "size": self.size, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **own}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns 2 size - 1 operations for each element, as Netscope counts (see `kapps.analysis.register_cost`)."""
        del input_shapes
        return {"elementwise": (2 * self.size - 1) * math.prod(output_shapes[0])}

    def to_keras_layers(self):
        """Returns the same computation as a model of Keras's operations."""
        x = layers.Input(self.input.shape[1:], dtype=self.compute_dtype)
        return keras.Model(x, self.call(x), name=self.name)

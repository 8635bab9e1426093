"""Spectral normalisation: a kernel divided by an estimate of its largest singular value.

[1] Miyato 2018, arXiv:1802.05957
[2] Zhang 2018, arXiv:1805.08318, and the authors' code, github.com/brain-research/self-attention-gan

`keras.layers.SpectralNormalization` writes the normalised kernel over the kernel at each training step, so that the
optimizer changes another weight than in [1], and the gradient lacks the term of the singular value.
"""

import keras
from keras import layers, ops

EPSILON = 1e-24
"""Of the square of a length."""


class SpectralNorm:
    """Mixin of a Keras layer whose kernel W is used as W / sigma.

    sigma estimates the largest singular value of W as a matrix (rows, columns) by one step of the power iteration from
    the stored vector u [1, algorithm 1]:

    v = W u / ||W u||,  u' = W^T v / ||W^T v||,  sigma = v^T W u'

    A call with `training=True` stores u' as the new u. The gradient of sigma is that of v^T W u' for constant u' and v
    [1, equation 12]; [2] differentiates the iteration too, and the two are equal where it has converged. The estimate
    is computed in float32 at least. `to_keras_layers` makes a Keras layer with the weight W / sigma.
    """

    _normalised = None

    def build(self, input_shape):
        super().build(input_shape)
        self.u = self.add_weight(
            shape=(self._matrix(self.raw_weight()).shape[-1],),
            initializer=keras.initializers.TruncatedNormal(stddev=1.0),
            dtype=keras.backend.result_type(self.variable_dtype, "float32"),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",  # it is the same on all
            name="u",
        )

    def raw_weight(self):
        """Returns W, as the Keras layer has it."""
        return super().kernel

    def normalise(self):
        """Returns W / sigma, of W's shape, in the dtype of the computation, and u'."""
        w = ops.cast(self.raw_weight(), self.u.dtype)
        sigma, u = self.estimate(w)
        return ops.cast(w / sigma, self.compute_dtype), u

    @property
    def kernel(self):
        return self.normalise()[0] if self._normalised is None else self._normalised

    def estimate(self, w=None):
        """Returns sigma and u' after one step of the power iteration from u.

        Args:
            w: W in the dtype of u; by default that of the layer.
        """
        w = ops.cast(self.raw_weight(), self.u.dtype) if w is None else w
        matrix = self._matrix(w)
        fixed = ops.stop_gradient(matrix)
        v = _unit(ops.matmul(fixed, ops.expand_dims(self.u, -1)))
        u = _unit(ops.matmul(ops.transpose(fixed), v))
        sigma = ops.sum(v * ops.matmul(matrix, u))
        return sigma, ops.squeeze(u, -1)

    def call(self, inputs, training=False):
        # The Keras layer reads `kernel` or `embeddings`.
        self._normalised, u = self.normalise()
        try:
            outputs = super().call(inputs)
        finally:
            self._normalised = None
        if training:
            self.u.assign(u)
        return outputs

    def _matrix(self, w):
        return ops.reshape(w, (-1, w.shape[-1]))

    # Keras's layers write their own weights only.
    def save_own_variables(self, store):
        layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        layers.Layer.load_own_variables(self, store)

    def keras_weights(self):
        """Returns the weights of the Keras layer: W / sigma, and the bias where there is one."""
        sigma, _ = self.estimate()
        w = ops.cast(self.raw_weight(), self.u.dtype) / sigma
        values = [w, self.bias] if getattr(self, "use_bias", False) else [w]
        return [ops.convert_to_numpy(ops.cast(x, self.variable_dtype)) for x in values]

    def to_keras_layers(self):
        """Returns the Keras layer of the same configuration."""
        return self.profile_as.from_config(self.get_config())


def _unit(x):
    return x * ops.rsqrt(ops.sum(ops.square(x)) + EPSILON)


@keras.saving.register_keras_serializable("kapps")
class SpectralNormConv2D(SpectralNorm, layers.Conv2D):
    """A `keras.layers.Conv2D` with spectral normalisation, see `SpectralNorm`.

    Same arguments, input and output. The rows of the matrix are height, width and channels of the kernel, its columns
    are the filters. Weights: the kernel W, the bias, u (filters,).
    """

    profile_as = layers.Conv2D  # what it costs, for `kapps.profile`


@keras.saving.register_keras_serializable("kapps")
class SpectralNormDense(SpectralNorm, layers.Dense):
    """A `keras.layers.Dense` with spectral normalisation, see `SpectralNorm`.

    Same arguments, input and output. Weights: the kernel W (inputs, units), the bias, u (units,).
    """

    profile_as = layers.Dense


@keras.saving.register_keras_serializable("kapps")
class SpectralNormEmbedding(SpectralNorm, layers.Embedding):
    """A `keras.layers.Embedding` with spectral normalisation, see `SpectralNorm`.

    Same arguments, input and output. The rows of the matrix are the values of a vector, its columns the vectors [2].
    Weights: the vectors (input_dim, output_dim), u (input_dim,).
    """

    profile_as = layers.Embedding

    def raw_weight(self):
        return layers.Embedding.embeddings.fget(self)

    @property
    def embeddings(self):
        return self.kernel

    def compute_output_spec(self, inputs, training=False):
        del training
        return super().compute_output_spec(inputs)

    def _matrix(self, w):
        return ops.transpose(w)

"""Weight normalisation: the direction and the length of a kernel are separate weights."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("kapps")
class WeightNormConv1D(layers.Conv1D):
    """A `keras.layers.Conv1D` whose kernel is w = g v / ||v||, with a length g for each filter.

    Salimans 2016, arXiv:1602.07868, equation (2); the norm is over a filter's steps and channels, as in PyTorch's
    `weight_norm` with dim=0. At first g = ||v||, so that the kernel is the initial v.

    Same arguments as `keras.layers.Conv1D`. Weights: v (steps, channels / groups, filters), initialised by
    `kernel_initializer`; the bias (filters,); g `gain` (filters,). `kernel` is w. The norm is computed in float32 at
    least. An exported graph has w as a constant, and `to_keras_layers` makes a Keras convolution of it.

    Input: (batch, steps, channels), any floating dtype. Output: (batch, steps', filters). A causal
    convolution without strides keeps the mask; padding on the right changes no step before it.
    """

    profile_as = layers.Conv1D  # what it costs, for `kapps.profile`

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs, mask=None):
        del inputs
        is_causal = self.padding == "causal" or self.kernel_size == (1,)
        return mask if is_causal and self.strides == (1,) else None

    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.add_weight(shape=(self.filters,), initializer="ones", name="gain")
        self.gain.assign(self._lengths(super().kernel))

    @property
    def kernel(self):
        v = super().kernel
        dtype = keras.backend.result_type(keras.backend.standardize_dtype(v.dtype), "float32")
        v = ops.cast(v, dtype)
        w = v * (ops.cast(self.gain, dtype) / self._lengths(v))
        return ops.cast(w, self.compute_dtype)

    def _lengths(self, v):
        return ops.sqrt(ops.sum(ops.square(v), axis=(0, 1)))

    # Keras's convolutions write `kernel` and the bias only.
    def save_own_variables(self, store):
        layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        layers.Layer.load_own_variables(self, store)

    def to_keras_layers(self):
        """Returns the `keras.layers.Conv1D` of the same configuration."""
        return layers.Conv1D.from_config(self.get_config())

    def keras_weights(self):
        """Returns its values: w, and the bias where there is one."""
        w = ops.convert_to_numpy(ops.cast(self.kernel, self.variable_dtype))
        return [w, ops.convert_to_numpy(self.bias)] if self.use_bias else [w]

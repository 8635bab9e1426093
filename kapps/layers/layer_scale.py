"""A learned scale for each channel of a residual branch."""

import math

import keras
from keras import layers


@keras.saving.register_keras_serializable("kapps")
class LayerScale(layers.Layer):
    """Multiplies each channel by a learned number, near zero at first (Touvron 2021, arXiv:2103.17239).

    Input and output: (..., channels), any floating dtype.

    Args:
        initial: initial value of all channels.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, initial=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        self.scale = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial),
            name="scale",
        )

    def call(self, inputs):
        return inputs * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns one operation for each element (see `kapps.analysis.register_cost`)."""
        del input_shapes
        return {"elementwise": math.prod(output_shapes[0])}

    def to_keras_layers(self):
        """Returns the same computation as a Keras layer with the same weight."""
        axes = "abcdefgh"[: len(self.input.shape) - 1]
        return layers.EinsumDense(
            f"{axes}z,z->{axes}z",
            output_shape=tuple(self.input.shape[1:]),
            dtype=self.dtype_policy,
            name=self.name,
        )

"""A learned scale for each channel of a residual branch."""

import math

import keras
import numpy as np
from keras import layers


@keras.saving.register_keras_serializable("kapps")
class LayerScale(layers.Layer):
    """Multiplies each channel by a learned number, near zero at first (Touvron 2021, arXiv:2103.17239).

    Input and output: (..., channels), any floating dtype.

    Args:
        initial: initial value of all channels.
        shared: whether all channels have the same number, as in the self-attention GAN (arXiv:1805.08318).
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, initial=1e-6, shared=False, **kwargs):
        super().__init__(**kwargs)
        self.initial, self.shared = initial, shared

    def build(self, input_shape):
        self.scale = self.add_weight(
            shape=() if self.shared else (input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial),
            name="scale",
        )

    def call(self, inputs):
        return inputs * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        options = {"initial": self.initial} | ({"shared": True} if self.shared else {})
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """Returns one operation for each element (see `kapps.analysis.register_cost`)."""
        del input_shapes
        return {"elementwise": math.prod(output_shapes[0])}

    def to_keras_layers(self):
        """Returns the same computation as a Keras layer with a weight for each channel."""
        axes = "abcdefgh"[: len(self.input.shape) - 1]
        return layers.EinsumDense(
            f"{axes}z,z->{axes}z",
            output_shape=tuple(self.input.shape[1:]),
            dtype=self.dtype_policy,
            name=self.name,
        )

    def keras_weights(self):
        """Returns the value of that layer's weight."""
        scale = keras.ops.convert_to_numpy(self.scale)
        return [np.broadcast_to(scale, self.input.shape[-1:])]

"""The gated linear unit, after a dense layer or a convolution that computes values and gates together."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("kapps")
class GatedLinearUnit(keras.layers.Layer):
    """Multiplies the first half of the channels by the sigmoid of the second half (Dauphin 2016, arXiv:1612.08083).

    [a, b] = x,  y = a sigmoid(b), element by element

    Input: (batch, ..., 2 channels), any floating dtype. Output: (batch, ..., channels).
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(
                f"{self.name}: an input of {input_shape[-1]:,} channels cannot be split in two; pass an even number"
            )
        self.built = True

    def call(self, inputs):
        values, gates = ops.split(inputs, 2, axis=-1)
        return values * ops.sigmoid(gates)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)

    def profile_cost(self, input_shapes, output_shapes):
        """Returns a sigmoid and a product for each value (see `kapps.analysis.register_cost`)."""
        (shape,) = input_shapes
        axes = (len(shape) - 1,)
        return {"elementwise": 2 * math.prod(output_shapes[0]), "reach": "mix", "axes": axes}

"""Maxout (Goodfellow 2013, arXiv:1302.4389)."""

import math

import keras
from keras import ops

from kapps._checked import check_argument


@keras.saving.register_keras_serializable("kapps")
class Maxout(keras.layers.Layer):
    """The largest of each `pool` neighbouring values: (batch, ..., units * pool) to (batch, ..., units).

    Args:
        pool: number of neighbouring values with one maximum.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, pool=2, **kwargs):
        super().__init__(**kwargs)
        check_argument(self.name, "pool", pool, int)
        self.pool = pool
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[-1] % self.pool:
            raise ValueError(
                f"{self.name}: {input_shape[-1]:,} values are not divisible by pool={self.pool}"
            )
        self.built = True

    def call(self, inputs):
        groups = (*ops.shape(inputs)[:-1], inputs.shape[-1] // self.pool, self.pool)
        return ops.max(ops.reshape(inputs, groups), axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // self.pool)

    def get_config(self):
        return {**super().get_config(), "pool": self.pool}

    def profile_cost(self, input_shapes, output_shapes):
        """Comparisons (see `kapps.analysis.register_cost`)."""
        del output_shapes
        return {"elementwise": math.prod(input_shapes[0])}

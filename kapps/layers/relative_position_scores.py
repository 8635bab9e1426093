"""Self-attention with relative positions: the products of queries with a learned vector of each distance.

[1] Sukhbaatar 2019, arXiv:1905.07799
[2] their code, https://github.com/facebookresearch/adaptive-span
"""

import math

import keras
from keras import layers, ops

from kapps._checked import check_argument
from kapps._values import is_integer, short

MOST_STEPS = 2**16
"""The largest span, ramp or block in steps."""


@keras.saving.register_keras_serializable("kapps")
class RelativePositionScores(layers.Layer):
    """The products of each query with a learned vector of each distance: q_t . p_x for the distances x = 1 to S [1].

    All heads have the same vectors, and in [2] all layers too: call one layer on the queries of each of them.

    Input: queries (batch, time, heads d). Output: (batch, time, heads, S), with the distance S first and 1 last.
    Weight: `p`, (d, S).

    Args:
        heads: number of heads.
        span: S, the largest distance.
        **kwargs: of `keras.layers.Layer`.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, heads, span, **kwargs):
        super().__init__(**kwargs)
        check_argument(self.name, "heads", heads, int)
        check_steps(self.name, span=span)
        self.heads, self.span = heads, span
        self.supports_masking = True

    def build(self, input_shape):
        check_width(self.name, input_shape[-1], self.heads)
        self.p = self.add_weight(
            shape=(input_shape[-1] // self.heads, self.span),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="p",
        )

    def call(self, inputs):
        query = ops.reshape(inputs, (*ops.shape(inputs)[:2], self.heads, self.p.shape[0]))
        return ops.matmul(query, self.p)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.heads, self.span)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "span": self.span}

    def profile_cost(self, input_shapes, output_shapes):
        """A product of d numbers for each score (see `kapps.analysis.register_cost`)."""
        return {"macs": math.prod(output_shapes[0]) * input_shapes[0][-1] // self.heads}


def span_attention(x, *, positions, layer, name, **options):
    """Self-attention of (batch, time, d_model) with learned spans; the projections have no biases [2].

    Args:
        x: (batch, time, d_model).
        positions: a `RelativePositionScores`, which all layers share.
        layer: class of the attention layer, `kapps.layers.AdaptiveSpanAttention` or `kapps.layers.AllAttention`.
        name: name of the attention layer; `name_query`, `name_key`, `name_value` and `name_output` are its projections.
        **options: of that class.
    """
    query, key, value = (
        layers.Dense(x.shape[-1], use_bias=False, name=f"{name}_{part}")(x)
        for part in ("query", "key", "value")
    )
    attention = layer(positions.heads, positions.span, name=name, **options)
    y = attention([query, key, value, positions(query)])
    return layers.Dense(x.shape[-1], use_bias=False, name=f"{name}_output")(y)


def check_steps(name, **steps):
    """Raises ValueError for a number of steps that is not a positive integer."""
    for option, value in steps.items():
        if not is_integer(value, 1, MOST_STEPS):
            raise ValueError(
                f"{name}: {option}={short(value)} is not a positive integer up to {MOST_STEPS:,}"
            )


def check_width(name, width, heads):
    """Raises ValueError for a width that is not a multiple of the number of heads."""
    if width % heads:
        raise ValueError(
            f"{name}: the width {width:,} is not divisible by heads={heads}; change either"
        )

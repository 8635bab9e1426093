"""Axial positional encodings: a trained vector for each place on each of several axes.

[1] Ho 2019, arXiv:1912.12180
[2] Kitaev 2020, arXiv:2001.04451: concatenated vectors
[3] Child 2019, arXiv:1904.10509: sums of vectors
"""

import math

import keras
from keras import ops

from kapps._values import is_integer, short
from kapps.layers.positional_encoding import PositionalEncoding


@keras.saving.register_keras_serializable("kapps")
class AxialPositionalEncoding(PositionalEncoding):
    """Adds trained vectors of a position's places on several axes to each step: y_pos = scale x_pos + v_pos.

    The positions are the places of an array of n_1 x n_2 x ... in order of its rows. Each axis has n_k vectors, so
    that n_1 n_2 ... positions need n_1 + n_2 + ... vectors. v_pos is the sum of the vectors of the axes [3], or with
    `widths` their concatenation [2].

    Input and output: (batch, time, features), of at most n_1 n_2 ... steps. `call(x, start=0)`: as for
    `kapps.layers.SinusoidalPositionalEncoding`.

    Args:
        lengths: (n_1, n_2, ...).
        widths: width of the vectors of each axis, whose sum is the number of features; None for sums of vectors.
        scale: factor of the input.
        deviation: standard deviation of the normal distribution that the vectors are sampled from at first.

    Raises:
        ValueError: for lengths and widths that are not positive integers, for a sequence that is too long, and for
            widths whose sum is not the number of features.
    """

    def __init__(self, lengths, widths=None, scale=1.0, deviation=0.02, **kwargs):
        super().__init__(scale, **kwargs)
        for option, sizes in (("lengths", lengths), ("widths", widths)):
            is_list = isinstance(sizes, (list, tuple)) and len(sizes)
            if sizes is not None and not (is_list and all(is_integer(n, 1, 2**24) for n in sizes)):
                raise ValueError(
                    f"{self.name}: {option}={short(sizes)} is not a list of positive integers up to {2**24:,}"
                )
        if lengths is None or (widths is not None and len(widths) != len(lengths)):
            raise ValueError(
                f"{self.name}: widths={short(widths)} and lengths={short(lengths)} do not have one number for each axis"
            )
        self.lengths = tuple(lengths)
        self.widths = None if widths is None else tuple(widths)
        self.deviation = deviation

    @property
    def decoding_limit(self):
        return math.prod(self.lengths)

    def build(self, input_shape):
        _, steps, features = input_shape
        if steps is not None and steps > self.decoding_limit:
            raise ValueError(
                f"{self.name}: a sequence of {steps:,} steps is longer than the {self.decoding_limit:,} positions; "
                "shorten it, or build the layer with larger lengths"
            )
        if self.widths is not None and sum(self.widths) != features:
            raise ValueError(
                f"{self.name}: widths={self.widths} have the sum {sum(self.widths):,}, but x has {features:,} features"
            )
        self.vectors = [
            self.add_weight(
                shape=(length, features if self.widths is None else self.widths[axis]),
                initializer=keras.initializers.RandomNormal(stddev=self.deviation),
                name=f"vectors{axis + 1}",
            )
            for axis, length in enumerate(self.lengths)
        ]

    def vectors_at(self, positions):
        """Returns v of int32 (1 or batch, time), (1 or batch, time, features)."""
        vectors, below = [], 1
        for length, table in zip(self.lengths[:0:-1], self.vectors[:0:-1], strict=True):
            vectors.append(ops.take(table, positions // below % length, axis=0))
            below *= length
        vectors.append(ops.take(self.vectors[0], positions // below, axis=0))
        return sum(vectors) if self.widths is None else ops.concatenate(vectors[::-1], axis=-1)

    def get_config(self):
        options = dict(lengths=self.lengths, widths=self.widths, deviation=self.deviation)
        return {**super().get_config(), **options}

    def profile_cost(self, input_shapes, output_shapes):
        """A product and a sum of each value, and the sums of vectors (see `kapps.analysis.register_cost`)."""
        del input_shapes
        sums = 1 if self.widths is not None else len(self.lengths)
        return {"elementwise": (1 + sums) * math.prod(output_shapes[0])}

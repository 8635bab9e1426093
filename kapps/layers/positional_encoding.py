"""Positional encodings: layers that add to each step of a sequence a vector of its position."""

import math

import keras
import numpy as np
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, short


def positions_of(x, start=0):
    """Returns the position of each step of x (batch, time, ...), int32 (1 or batch, time); the first is `start`."""
    steps = ops.arange(ops.shape(x)[1], dtype="int32")
    return ops.reshape(ops.cast(start, "int32"), (-1, 1)) + ops.expand_dims(steps, 0)


class PositionalEncoding(keras.layers.Layer):
    """The base of both layers: y_pos = scale x_pos + `vectors_at`(pos)."""

    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.supports_masking = True

    def call(self, inputs, start=0):
        vectors = self.vectors_at(positions_of(inputs, start))
        return inputs * self.scale + ops.cast(vectors, inputs.dtype)

    # The cache protocol (`kapps.generation.cache_protocol`)

    def decoding_state(self, batch, length):
        del batch, length
        return {}

    def decoding_step(self, x, position, state):
        return self(x, start=position), state

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, start=0):
        del start
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("kapps")
class SinusoidalPositionalEncoding(PositionalEncoding):
    """Adds sines and cosines of the position to each step of a sequence (Vaswani 2017, arXiv:1706.03762, 3.5).

    PE(pos, 2i) = sin(pos / 10000^(2i / d_model))
    PE(pos, 2i + 1) = cos(pos / 10000^(2i / d_model))
    y_pos = scale x_pos + PE(pos)

    Input and output: (batch, time, d_model), of any length. `call(x, start=0)`: the position of the first step, an
    integer, a tensor with one integer, or a tensor (batch,) with one for each sequence.

    Args:
        scale: factor of the input: sqrt(d_model) for the embeddings of section 3.4.
    """

    def build(self, input_shape):
        i = np.arange(input_shape[-1]) // 2
        self.rates = (10000.0 ** (-2 * i / input_shape[-1])).astype("float32")
        self.is_cosine = (np.arange(input_shape[-1]) % 2).astype("bool")
        self.built = True

    def vectors_at(self, positions):
        """Returns PE of int32 (1 or batch, time), float32 (1 or batch, time, d_model)."""
        # In float32 under any policy: half precision cannot tell positions above 2,048 apart.
        rates = ops.convert_to_tensor(self.rates)
        angles = ops.expand_dims(ops.cast(positions, "float32"), -1) * rates
        return ops.where(ops.convert_to_tensor(self.is_cosine), ops.cos(angles), ops.sin(angles))

    def profile_cost(self, input_shapes, output_shapes):
        """A product, a sum and a sine of each value (see `kapps.analysis.register_cost`)."""
        del input_shapes
        return {"elementwise": 3 * math.prod(output_shapes[0])}


@keras.saving.register_keras_serializable("kapps")
class LearnedPositionalEncoding(PositionalEncoding):
    """Adds a trained vector of the position to each step of a sequence: y_pos = scale x_pos + w_pos.

    Input and output: (batch, time, features), of at most `length` steps. `call(x, start=0)`: as for
    `SinusoidalPositionalEncoding`.

    Args:
        length: number of positions, and so the number of steps of the longest sequence.
        scale: factor of the input.
    """

    def __init__(self, length, scale=1.0, **kwargs):
        super().__init__(scale, **kwargs)
        check_argument(self.name, "length", length, int)
        self.length = length

    def build(self, input_shape):
        if input_shape[1] is not None and input_shape[1] > self.length:
            raise ValueError(
                f"{self.name}: a sequence of {input_shape[1]:,} steps is longer than the {self.length:,} positions; "
                "shorten it, or build the layer with more positions"
            )
        self.vectors = self.add_weight(
            shape=(self.length, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="vectors",
        )

    @property
    def decoding_limit(self):
        return self.length

    def vectors_at(self, positions):
        """Returns w of int32 (1 or batch, time), (1 or batch, time, features)."""
        return ops.take(self.vectors, positions, axis=0)

    def get_config(self):
        return {**super().get_config(), "length": self.length}

    def profile_cost(self, input_shapes, output_shapes):
        """A product and a sum of each value (see `kapps.analysis.register_cost`)."""
        del input_shapes
        return {"elementwise": 2 * math.prod(output_shapes[0])}


@keras.saving.register_keras_serializable("kapps")
class StepEncoding(SinusoidalPositionalEncoding):
    """Adds sines and cosines of the position, and a vector of the step of a recurrence (arXiv:1807.03819, 2.1).

    y_pos = scale x_pos + PE(pos) + PE(step), or with a trained vector in place of PE(step), as in Tensor2Tensor

    Input and output: (batch, time, d_model), of any length. `call(x, start=0)`: as for `SinusoidalPositionalEncoding`.

    Args:
        step: number of the step, from 1.
        learned: whether the step has a trained vector.
        scale: factor of the input.
    """

    def __init__(self, step, learned=True, scale=1.0, **kwargs):
        super().__init__(scale, **kwargs)
        if not is_integer(step, 1, 2**16):
            raise ValueError(f"{self.name}: step={short(step)} is not a positive integer to 65,536")
        self.step, self.learned = step, learned

    def build(self, input_shape):
        super().build(input_shape)
        if self.learned:
            deviation = keras.initializers.RandomNormal(stddev=input_shape[-1] ** -0.5)
            self.vector = self.add_weight(
                shape=(input_shape[-1],), initializer=deviation, name="vector", autocast=False
            )

    def vectors_at(self, positions):
        """Returns the sum of both vectors, float32 (1 or batch, time, d_model)."""
        step = (
            self.vector if self.learned else super().vectors_at(ops.array([[self.step]], "int32"))
        )
        return super().vectors_at(positions) + step

    def get_config(self):
        return {**super().get_config(), "step": self.step, "learned": self.learned}

    def profile_cost(self, input_shapes, output_shapes):
        """A product, two sums and a sine of each value."""
        del input_shapes
        return {"elementwise": 4 * math.prod(output_shapes[0])}

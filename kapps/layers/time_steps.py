"""Layers that join, average, reverse or pad the time steps of sequences; all respect masks.

[1] Chan 2015, Listen, Attend and Spell, arXiv:1508.01211: the pyramid, equation (5)
"""

import math

import keras
from keras import ops

from kapps._checked import check_argument


@keras.saving.register_keras_serializable("kapps")
class ConcatenatePairs(keras.layers.Layer):
    """Concatenates each two steps, h_i = [h_2i, h_2i+1]: half as many steps of twice the width [1].

    An odd length is padded with zeros, and masked steps are set to zeros, so padding changes no output. Padding is on
    the right, so the mask of a pair is that of its first step.

    Input: (batch, time, features). Output: (batch, (time + 1) // 2, 2 * features).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        x = inputs
        if mask is not None:
            x = ops.where(ops.expand_dims(mask, -1), x, ops.zeros_like(x))
        # Always one step more: the odd steps of T + 1 steps are (T + 1) // 2, as many as the even steps of T.
        padded = ops.pad(x, ((0, 0), (0, 1), (0, 0)))
        return ops.concatenate([x[:, ::2], padded[:, 1::2]], axis=-1)

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if mask is None else mask[:, ::2]

    def compute_output_shape(self, input_shape):
        batch, time, features = input_shape
        return batch, None if time is None else (time + 1) // 2, 2 * features

    def profile_cost(self, input_shapes, output_shapes):
        """No operations (see `kapps.analysis.register_cost`); the position of a step changes."""
        del input_shapes, output_shapes
        return {"reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class SegmentMean(keras.layers.Layer):
    """Averages each `size` steps without padding; the last segment can be shorter.

    Input: (batch, time, features). Output: (batch, ceil(time / size), features).

    Args:
        size: number of steps of a segment.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        check_argument(self.name, "size", size, int)
        self.size = size
        self.supports_masking = True

    def call(self, inputs, mask=None):
        weights = ops.ones_like(inputs[..., :1]) if mask is None else ops.expand_dims(mask, -1)
        weights = ops.cast(weights, inputs.dtype)
        values = ops.where(weights > 0, inputs, ops.zeros_like(inputs))
        count = ops.sum(self.cut(weights), axis=2)
        return ops.sum(self.cut(values), axis=2) / ops.maximum(count, ops.ones_like(count))

    def cut(self, x):
        """Returns (batch, segments, size, features), padded with zeros."""
        batch, features = ops.shape(x)[0], x.shape[-1]
        if x.shape[1] is None:
            # Pad by as much as can be missing, then cut off what makes no segment.
            x = ops.pad(x, ((0, 0), (0, self.size - 1), (0, 0)))
            x = x[:, : ops.shape(x)[1] // self.size * self.size]
        else:
            x = ops.pad(x, ((0, 0), (0, -x.shape[1] % self.size), (0, 0)))
        segments = -1 if x.shape[1] is None else x.shape[1] // self.size
        return ops.reshape(x, (batch, segments, self.size, features))

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if mask is None else mask[:, :: self.size]

    def compute_output_shape(self, input_shape):
        batch, time, features = input_shape
        return batch, None if time is None else -(-time // self.size), features

    def get_config(self):
        return {**super().get_config(), "size": self.size}

    def profile_cost(self, input_shapes, output_shapes):
        """A sum of all values and a division for each mean (see `kapps.analysis.register_cost`)."""
        values, means = math.prod(input_shapes[0]), math.prod(output_shapes[0])
        return {"additions": values - means, "elementwise": means, "reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class BlankPadding(keras.layers.Layer):
    """Sets the logits of masked steps to those of the blank, label 0, with probability 1; the output has no mask.

    Input and output: (batch, time, labels).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return inputs
        # exp(-1e9) is 0 and finite; -infinity would make gradients of 0 * infinity.
        blank = ops.array([0.0] + [-1e9] * (inputs.shape[-1] - 1), dtype=inputs.dtype)
        return ops.where(ops.expand_dims(mask, -1), inputs, blank)

    def compute_mask(self, inputs, mask=None):
        del inputs, mask

    def compute_output_shape(self, input_shape):
        return input_shape

    def profile_cost(self, input_shapes, output_shapes):
        """No operations (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}


@keras.saving.register_keras_serializable("kapps")
class ReverseSequence(keras.layers.Layer):
    """Reverses the tokens of each sequence; padding, 0, stays on the right.

    Input and output: integers (batch, time).
    """

    def call(self, inputs):
        steps = ops.expand_dims(ops.arange(ops.shape(inputs)[1], dtype="int32"), 0)
        length = ops.sum(ops.cast(inputs != 0, "int32"), axis=1, keepdims=True)
        order = ops.where(steps < length, length - 1 - steps, steps)
        return ops.take_along_axis(inputs, order, axis=1)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def profile_cost(self, input_shapes, output_shapes):
        """No operations (see `kapps.analysis.register_cost`); the position of a step changes."""
        del input_shapes, output_shapes
        return {"reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class ConcatenateContext(keras.layers.Layer):
    """Concatenates a vector to each step of a sequence.

    Input: [(batch, time, features), (batch, units)]. Output: (batch, time, features + units).
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        x, vector = inputs
        vector = ops.expand_dims(vector, 1) + ops.zeros_like(x[..., :1])
        return ops.concatenate([x, vector], axis=-1)

    def compute_mask(self, inputs, mask=None):
        del inputs
        return mask[0] if isinstance(mask, (list, tuple)) else mask

    def compute_output_shape(self, input_shape):
        (batch, time, features), (_, units) = input_shape
        return batch, time, features + units

    def profile_cost(self, input_shapes, output_shapes):
        """No operations (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}


@keras.saving.register_keras_serializable("kapps")
class ZeroFirstStep(keras.layers.Layer):
    """Sets the first step of each sequence to zeros.

    Input and output: (batch, time, features).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return ops.pad(inputs[:, 1:], ((0, 0), (1, 0), (0, 0)))

    # The cache protocol (`kapps.generation.cache_protocol`)

    def decoding_state(self, batch, length):
        del batch, length
        return {}

    def decoding_step(self, x, position, state):
        return x * ops.cast(ops.expand_dims(position > 0, -1), x.dtype), state

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def profile_cost(self, input_shapes, output_shapes):
        """No operations (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}

"""Layers that put the steps of sequences together, leave them out or turn them round; all know masks.

[1] Chan 2015, Listen, Attend and Spell, arXiv:1508.01211: the pyramid, equation (5)
"""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("kapps")
class ConcatenatePairs(keras.layers.Layer):
    """Each two steps beside each other, h_i = [h_2i, h_2i+1]: half as many of twice the width [1].

    An odd length is padded by zeros, and steps that the mask hides are zeros too, so padding changes nothing. A pair
    is real where its first step is: padding is on the right.

    Input: (batch, time, features). Output: (batch, (time + 1) // 2, 2 * features).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        x = inputs
        if mask is not None:
            x = ops.where(ops.expand_dims(mask, -1), x, ops.zeros_like(x))
        # One more step always: of T + 1 steps, (T + 1) // 2 have an odd number, as many as of T an even one.
        more = ops.pad(x, ((0, 0), (0, 1), (0, 0)))
        return ops.concatenate([x[:, ::2], more[:, 1::2]], axis=-1)

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if mask is None else mask[:, ::2]

    def compute_output_shape(self, input_shape):
        batch, time, features = input_shape
        return batch, None if time is None else (time + 1) // 2, 2 * features

    def profile_cost(self, input_shapes, output_shapes):
        """Nothing is computed (see `kapps.analysis.register_cost`); a pair is at another place than its steps."""
        del input_shapes, output_shapes
        return {"reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class SegmentMean(keras.layers.Layer):
    """The mean of each `size` steps, of those that are real; a last, shorter segment is one too.

    Input: (batch, time, features). Output: (batch, ceil(time / size), features).

    Args:
        size: steps of a segment.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"{self.name}: a segment has a whole number of steps from 1, not {size!r}"
            )
        self.size = size
        self.supports_masking = True

    def call(self, inputs, mask=None):
        real = ops.ones_like(inputs[..., :1]) if mask is None else ops.expand_dims(mask, -1)
        real = ops.cast(real, inputs.dtype)
        values = ops.where(real > 0, inputs, ops.zeros_like(inputs))
        count = ops.sum(self.cut(real), axis=2)
        return ops.sum(self.cut(values), axis=2) / ops.maximum(count, ops.ones_like(count))

    def cut(self, x):
        """Returns (batch, segments, size, features), zeros beside the last steps."""
        batch, features = ops.shape(x)[0], x.shape[-1]
        if (
            x.shape[1] is None
        ):  # as many more as may be missing, and of what that makes whole segments
            x = ops.pad(x, ((0, 0), (0, self.size - 1), (0, 0)))
            x = x[:, : ops.shape(x)[1] // self.size * self.size]
        else:
            x = ops.pad(x, ((0, 0), (0, -x.shape[1] % self.size), (0, 0)))
        steps = -1 if x.shape[1] is None else x.shape[1] // self.size
        return ops.reshape(x, (batch, steps, self.size, features))

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if mask is None else mask[:, :: self.size]

    def compute_output_shape(self, input_shape):
        batch, time, features = input_shape
        return batch, None if time is None else -(-time // self.size), features

    def get_config(self):
        return {**super().get_config(), "size": self.size}

    def profile_cost(self, input_shapes, output_shapes):
        """A sum of all values and a division of each mean (see `kapps.analysis.register_cost`)."""
        values, means = math.prod(input_shapes[0]), math.prod(output_shapes[0])
        return {"additions": values - means, "elementwise": means, "reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class BlankPadding(keras.layers.Layer):
    """Logits of a certain blank, label 0, at the steps that a mask hides; the output has no mask.

    Input and output: (batch, time, labels).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return inputs
        # exp(-1e9) is 0, and finite, where -infinity would make gradients of 0 * infinity
        blank = ops.array([0.0] + [-1e9] * (inputs.shape[-1] - 1), dtype=inputs.dtype)
        return ops.where(ops.expand_dims(mask, -1), inputs, blank)

    def compute_mask(self, inputs, mask=None):
        del inputs, mask

    def compute_output_shape(self, input_shape):
        return input_shape

    def profile_cost(self, input_shapes, output_shapes):
        """Nothing is computed (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}


@keras.saving.register_keras_serializable("kapps")
class ReverseSequence(keras.layers.Layer):
    """Tokens from the last to the first; padding, 0, stays on the right.

    Input and output: (batch, time) of whole numbers.
    """

    def call(self, inputs):
        steps = ops.expand_dims(ops.arange(ops.shape(inputs)[1], dtype="int32"), 0)
        length = ops.sum(ops.cast(inputs != 0, "int32"), axis=1, keepdims=True)
        return ops.take_along_axis(
            inputs, ops.where(steps < length, length - 1 - steps, steps), axis=1
        )

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def profile_cost(self, input_shapes, output_shapes):
        """Nothing is computed (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {"reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class ConcatenateContext(keras.layers.Layer):
    """A vector beside each step of a sequence.

    Input: [(batch, time, features), (batch, units)]. Output: (batch, time, features + units).
    """

    pointwise = True  # for `kapps.generation.step_models`

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
        """Nothing is computed (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {}

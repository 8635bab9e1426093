"""The exits of a decoder that uses fewer layers for easy tokens (Elbayad 2020, arXiv:1910.10073, sections 3 and 4)."""

import math

import keras
from keras import ops

from kapps._values import is_integer, short
from kapps.layers.halting import geometric_distribution
from kapps.layers.multi_head_attention import scores_dtype


@keras.saving.register_keras_serializable("kapps")
class ExitDistribution(keras.layers.Layer):
    """The multinomial distribution of the exit, q = softmax(W h + b), in float32 under any policy.

    Input: (batch, time, features). Output: (batch, time, exits).

    Args:
        exits: number of exits.
    """

    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, exits, **kwargs):
        super().__init__(**kwargs)
        if not is_integer(exits, 1, 1000):
            raise ValueError(
                f"{self.name}: exits={short(exits)} is not a positive integer to 1,000"
            )
        self.exits = exits
        self.supports_masking = True

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.exits), initializer="glorot_uniform", name="w", autocast=False
        )  # fmt: skip
        self.b = self.add_weight(shape=(self.exits,), initializer="zeros", name="b", autocast=False)

    def call(self, inputs):
        return ops.softmax(ops.matmul(ops.cast(inputs, scores_dtype(inputs)), self.w) + self.b)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], self.exits), scores_dtype(inputs))

    def get_config(self):
        return {**super().get_config(), "exits": self.exits}

    def profile_cost(self, input_shapes, output_shapes):
        """A product with W, sums, exponentials and divisions."""
        values = math.prod(output_shapes[0])
        return {
            "macs": values * input_shapes[0][-1],
            "additions": 2 * values,
            "elementwise": 2 * values,
        }


class ExitFunction(keras.layers.Layer):
    """The base of layers without weights that compute in float32 and change no mask."""

    pointwise = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False
        self.supports_masking = True


@keras.saving.register_keras_serializable("kapps")
class ChosenExit(ExitFunction):
    """Halting probabilities of the most probable exit, 1 after its layer and 0 after others.

    Input: q (batch, time, exits). Output: a list of float32 (batch, time, 1), one for each exit.
    """

    def call(self, inputs):
        exits = inputs.shape[-1]
        # Keras's argmax has an operation that LiteRT lacks; of equal values the first is chosen.
        largest = inputs >= ops.max(inputs, axis=-1, keepdims=True)
        largest = ops.cast(largest, "float32")
        chosen = largest * ops.cast(ops.cumsum(largest, axis=-1) < 1.5, "float32")
        return [chosen[..., n : n + 1] for n in range(exits)]

    def compute_mask(self, inputs, mask=None):
        return [mask] * inputs.shape[-1]

    def compute_output_spec(self, inputs):
        shape = (*inputs.shape[:-1], 1)
        return [keras.KerasTensor(shape, "float32") for _ in range(inputs.shape[-1])]

    def profile_cost(self, input_shapes, output_shapes):
        """A comparison of each value."""
        del output_shapes
        return {"elementwise": math.prod(input_shapes[0])}


@keras.saving.register_keras_serializable("kapps")
class LargestProbability(ExitFunction):
    """The largest probability of a softmax: the confidence of a classifier.

    Input: logits (batch, time, classes). Output: float32 (batch, time, 1).
    """

    def call(self, inputs):
        logits = ops.cast(inputs, scores_dtype(inputs))
        return ops.exp(
            ops.max(logits, axis=-1, keepdims=True) - ops.logsumexp(logits, axis=-1, keepdims=True)
        )

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], 1), scores_dtype(inputs))

    def profile_cost(self, input_shapes, output_shapes):
        """A comparison, an exponential and a sum of each logit."""
        del output_shapes
        values = math.prod(input_shapes[0])
        return {"additions": values, "elementwise": 2 * values}


@keras.saving.register_keras_serializable("kapps")
class GeometricDistribution(ExitFunction):
    """The distribution of the exit of halting probabilities, as `kapps.layers.halting.geometric_distribution`.

    Input: a list of (batch, time, 1), one for each exit but the last. Output: (batch, time, exits).
    """

    def call(self, inputs):
        return geometric_distribution(ops.concatenate(inputs, axis=-1))

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if mask is None else mask[0]

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs[0].shape[:-1], len(inputs) + 1), inputs[0].dtype)

    def profile_cost(self, input_shapes, output_shapes):
        """Two products and a difference of each exit."""
        del input_shapes
        values = math.prod(output_shapes[0])
        return {"additions": values, "elementwise": 2 * values}


@keras.saving.register_keras_serializable("kapps")
class JointScores(ExitFunction):
    """Joint log probabilities of exit and token, log q(n) + log softmax(logits_n): one output for both losses.

    The softmax over tokens of the scores of exit n is that of its logits, and their log-sum-exp is log q(n).

    Input: [logits (batch, time, exits, tokens), q (batch, time or 1, exits)]. Output: float32, the logits' shape.
    """

    def call(self, inputs):
        logits, q = inputs
        q = ops.maximum(ops.cast(q, scores_dtype(logits)), 1e-30)
        return ops.log_softmax(ops.cast(logits, q.dtype)) + ops.expand_dims(ops.log(q), -1)

    def compute_mask(self, inputs, mask=None):
        del inputs, mask

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, scores_dtype(inputs[0]))

    def profile_cost(self, input_shapes, output_shapes):
        """An exponential, a sum and a difference of each score."""
        del input_shapes
        values = math.prod(output_shapes[0])
        return {"additions": 3 * values, "elementwise": values}

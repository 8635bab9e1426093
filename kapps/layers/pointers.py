"""The parts of pointer networks: the inputs that indices name, and a score of each input in place of each class.

[1] Vinyals 2015, Pointer Networks, arXiv:1506.03134

Index j >= 1 is input P_j of a sequence of n. Index 0 is the start symbol where it is an input, and the end symbol where
it is an output.
"""

import keras
from keras import ops

from kapps.layers.encoder_decoder_attention import Alignment
from kapps.layers.multi_head_attention import HIDDEN_SCORE, scores_dtype


def prepend(weight, x):
    """Returns x, (batch, n, width), with a weight of (width,) as its first step."""
    first = ops.expand_dims(ops.cast(weight, x.dtype), 0) + ops.zeros_like(x[:, :1])
    return ops.concatenate([first, x], axis=1)


@keras.saving.register_keras_serializable("kapps")
class PointedInputs(keras.layers.Layer):
    """Returns the inputs that indices point at; index 0 is a trained start symbol [1, section 2.3].

    Call: `layer(indices, inputs)` with indices, int32 (batch, steps), from 0 to n, and inputs (batch, n, width),
    returns (batch, steps, width). An index above n returns zeros.
    """

    decoding_position = False  # see `kapps.generation.cache_protocol`

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, indices_shape, inputs_shape):
        del indices_shape
        self.start = self.add_weight(
            shape=(inputs_shape[-1],), initializer="zeros", name="start_symbol"
        )
        self.built = True

    def call(self, indices, inputs):
        return self.take(indices, prepend(self.start, inputs))

    def take(self, indices, inputs):
        """Returns steps of (batch, n + 1, width) by a product with one-hot rows, which every runtime has."""
        steps = ops.arange(ops.shape(inputs)[1], dtype="int32")
        one_hot = ops.cast(ops.expand_dims(ops.cast(indices, "int32"), -1) == steps, inputs.dtype)
        return ops.matmul(one_hot, inputs)

    def compute_mask(self, indices, mask=None):
        del indices, mask

    # The cache protocol

    def decoding_memory(self, inputs):
        return {"inputs": prepend(self.start, inputs)}

    def decoding_state(self, batch, length, memory):
        del batch, length, memory
        return {}

    def decoding_step(self, x, position, state, memory):
        del position
        return self.take(x, memory["inputs"]), state

    def compute_output_spec(self, indices, inputs):
        return keras.KerasTensor((*indices.shape, inputs.shape[-1]), self.compute_dtype)

    def profile_cost(self, input_shapes, output_shapes):
        """A lookup has no operations (see `kapps.analysis.register_cost`)."""
        del input_shapes, output_shapes
        return {"reach": "unknown"}


@keras.saving.register_keras_serializable("kapps")
class PointerScores(Alignment):
    """Scores each input, and before them an end symbol, in place of each class [1, equation 3].

    u^i_j = v^T tanh(W_1 e_j + W_2 d_i),  j = 0 .. n

    e_j is the encoder's state at input j, e_0 the trained end symbol, d_i the decoder's state. The softmax of u^i is
    the distribution over the inputs. The scores are those of `Alignment` with score="additive", whose weights have the
    same names; the mean of the inputs is not used.

    Call: `layer(query, memory)` with query (batch, m, P), memory (batch, n, K) and its mask returns (batch, m, n + 1),
    float32 or wider; inputs that the mask hides have -1e9.

    Args:
        units: rows of W_1, W_2 and v; None for P.
    """

    decoding_position = False

    def __init__(self, units=None, **kwargs):
        super().__init__("additive", units=units, **kwargs)

    def build(self, query_shape, memory_shape):
        self.end = self.add_weight(
            shape=(memory_shape[-1],), initializer="glorot_uniform", name="end_symbol"
        )
        super().build(query_shape, memory_shape)

    def masked_scores(self, query, keys, mask):
        end_key = ops.matmul(ops.expand_dims(self.end, 0), self.memory_kernel)[0]
        scores = self.scores(query, prepend(end_key, keys))
        if mask is None:
            return scores
        mask = ops.expand_dims(ops.cast(mask, "bool"), 1)
        mask = ops.concatenate([ops.ones_like(mask[..., :1]), mask], axis=-1)
        return ops.where(mask, scores, ops.cast(HIDDEN_SCORE, scores.dtype))

    def call(self, query, memory, query_mask=None, memory_mask=None):
        del query_mask
        return self.masked_scores(query, self.keys(memory), memory_mask)

    def check_decoding(self, **arguments):
        del arguments

    def decoding_memory(self, memory):
        return {"keys": self.keys(memory)}

    def decoding_step(self, x, position, state, memory):
        del position
        return self.masked_scores(x, memory["keys"], memory.get("memory_mask")), state

    def compute_output_spec(self, query, memory, query_mask=None, memory_mask=None):
        del query_mask, memory_mask
        inputs = memory.shape[1]
        shape = (*query.shape[:-1], None if inputs is None else inputs + 1)
        return keras.KerasTensor(shape, scores_dtype(query))

    def get_config(self):
        config = super().get_config()
        for option in ("score", "window", "width", "seed", "use_bias"):
            config.pop(option)
        return config

    def profile_cost(self, input_shapes, output_shapes):
        """Products of queries, memory, and each query with each input (see `kapps.analysis.register_cost`)."""
        del output_shapes
        (batch, m, p), (_, n, k) = input_shapes[:2]
        units, n = self.units or p, n + 1
        pairs = batch * m * n * units
        return {
            "macs": batch * (n * k + m * p) * units + pairs,
            "additions": pairs,
            "elementwise": pairs,
            "reach": "unknown",
        }

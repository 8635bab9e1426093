"""Attention of a decoder to the encoder's outputs: scores, and the windows that restrict them.

[1] Bahdanau 2015, arXiv:1409.0473: additive scores
[2] Luong 2015, arXiv:1508.04025: dot, general and concat scores; local windows
[3] Xu 2015, arXiv:1502.03044: hard attention
[4] Jang 2017, arXiv:1611.01144: sampling with Gumbel noise, straight-through gradients
[5] Britz 2017, arXiv:1703.03906: multiplicative scores, and biases
"""

import keras
from keras import ops

from kapps._checked import check_argument
from kapps.layers.multi_head_attention import masked_softmax, scores_dtype

SCORES = ("additive", "dot", "general", "concat", "scaled", "multiplicative")
PROJECTED = ("additive", "concat", "multiplicative")
"""The scores with a matrix for the query and one for the input."""
WINDOWS = ("global", "local_m", "local_p", "hard")


@keras.saving.register_keras_serializable("kapps")
class Alignment(keras.layers.Layer):
    """Attends from D queries to M inputs: for each query a distribution over the inputs, and their mean by it.

    X^T is M x K, the inputs; z_d^T is 1 x P, the query at position d.

    a_d = softmax(score(z_d, X)),  1 x M
    y_d^T = a_d^T X^T,  1 x K

    `score` of z = z_d and an input x (K values):

    - "additive": v^T tanh(W z + U x) [1]; "concat": v^T tanh(W_a [z; x]) [2], the same function with W_a = [W, U];
    - "dot": z^T x [2], where P = K; "general": z^T W_k^T x [2]; "scaled": z^T W_k^T x / P^(1/2), with W_k K x P.
    - "multiplicative": (W z)^T U x [5].

    `window`:

    - "global": all inputs;
    - "local_m": the inputs from p_d - D to p_d + D, where p_d = d and D is `width`, for monotonic alignments [2];
    - "local_p": the inputs around p_d = S sigmoid(v_p^T tanh(W_p z_d)), where S is the number of inputs; a_d is
      multiplied by exp(-(s - p_d)^2 / (2 (D / 2)^2)) at input s, so its sum is less than 1 [2];
    - "hard": one input. In training it is sampled from a_d, as argmax(score + Gumbel noise), and its gradient is that
      of the mean, straight through [4]; [3] uses another estimate. Otherwise it is the input with the largest score.

    Call: `layer(query, memory)` with query (batch, D, P) and memory (batch, M, K) returns (batch, D, K), and with
    return_attention_scores=True also the weights a, float32 (batch, D, M). Scores are float32 under any policy.
    Inputs that the memory's mask hides have a weight of 0; if none is left, the output is 0. `start` is d of the
    first query, an integer or an integer tensor, () or (batch,).

    Args:
        score: one of the six.
        window: one of the four.
        units: rows of W, U and v; None for P.
        width: D of the local windows.
        seed: seed of the samples of the hard window.
        use_bias: whether W z and U x have biases [5]; only scores with W and U can.
    """

    def __init__(
        self, score="scaled", window="global", units=None, width=10, seed=None, use_bias=False, **kwargs
    ):  # fmt: skip
        super().__init__(**kwargs)
        for option, value, allowed in (("score", score, SCORES), ("window", window, WINDOWS)):
            if value not in allowed:
                raise ValueError(f"{option} is one of {', '.join(allowed)}, not {value!r}")
        check_argument(self.name, "width", width, int)
        check_argument(self.name, "use_bias", use_bias, bool)
        if use_bias and score not in PROJECTED:
            raise ValueError(
                f"{self.name}: use_bias=True needs a score with two matrices, {', '.join(PROJECTED)}, not {score!r}"
            )
        self.score, self.window, self.units = score, window, units
        self.width, self.seed, self.use_bias = width, seed, use_bias
        self.supports_masking = True
        if window == "hard":
            self.generator = keras.random.SeedGenerator(seed)

    @property
    def uses_positions(self):
        """Whether the position of a query matters: for its window, or for the noise that is sampled for it."""
        return self.window in ("local_m", "hard")

    def build(self, query_shape, memory_shape):
        p, k = query_shape[-1], memory_shape[-1]
        units = self.units or p
        if self.score == "dot" and p != k:
            raise ValueError(
                f'{self.name}: score="dot" needs a query and a memory of the same width, not {p:,} and {k:,}; '
                'score="general" has a matrix between them'
            )
        if self.score in PROJECTED:
            self.query_kernel = self.add_weight(shape=(p, units), name="query_kernel")
            self.memory_kernel = self.add_weight(shape=(k, units), name="memory_kernel")
            if self.score != "multiplicative":
                self.v = self.add_weight(shape=(units, 1), name="v")
            if self.use_bias:
                bias = dict(shape=(units,), initializer="zeros")
                self.query_bias = self.add_weight(**bias, name="query_bias")
                self.memory_bias = self.add_weight(**bias, name="memory_bias")
        elif self.score != "dot":
            self.memory_kernel = self.add_weight(shape=(k, p), name="memory_kernel")
        if self.window == "local_p":
            self.position_kernel = self.add_weight(shape=(p, p), name="position_kernel")
            self.position_v = self.add_weight(shape=(p, 1), name="position_v")
        self.built = True

    def keys(self, memory):
        """Returns what the scores of all queries use of a memory, (batch, M, P or units)."""
        if self.score == "dot":
            return memory
        keys = ops.matmul(memory, self.memory_kernel)
        return keys + self.memory_bias if self.use_bias else keys

    def scores(self, query, keys):
        """Returns score(z_d, x) of each query and each key: (batch, D, M), float32 or float64."""
        dtype = scores_dtype(query, keys)
        if self.score in PROJECTED:
            query = ops.matmul(query, self.query_kernel)
            query = query + self.query_bias if self.use_bias else query
        if self.score in ("additive", "concat"):
            wz = ops.expand_dims(query, 2)
            hidden = ops.cast(ops.tanh(wz + ops.expand_dims(keys, 1)), dtype)
            return ops.squeeze(ops.matmul(hidden, ops.cast(self.v, dtype)), -1)
        scores = ops.matmul(ops.cast(query, dtype), ops.cast(ops.swapaxes(keys, 1, 2), dtype))
        return scores * query.shape[-1] ** -0.5 if self.score == "scaled" else scores

    def noise(self, batch, queries, inputs):
        """Returns Gumbel noise (batch, queries, inputs) for the hard window."""
        u = keras.random.uniform((batch, queries, inputs), 1e-7, 1.0, "float32", self.generator)
        return -ops.log(-ops.log(ops.minimum(u, 1 - 1e-6)))

    def attend(self, query, keys, memory, mask=None, positions=None, noise=None):
        """Returns y and the weights a.

        Args:
            query: (batch, D, P).
            keys: of the memory, as `keys` returns them.
            memory: (batch, M, K).
            mask: bool (batch, M), False for padding; None for no padding.
            positions: d of each query, int32 (1 or batch, D); None if `uses_positions` is False.
            noise: as `noise` returns it, in training with the hard window.
        """
        scores = self.scores(query, keys)
        steps = ops.arange(ops.shape(memory)[1], dtype="int32")
        allowed = None if mask is None else ops.expand_dims(ops.cast(mask, "bool"), 1)
        if self.window == "local_m":
            distance = ops.abs(steps - ops.expand_dims(positions, -1))
            allowed = both_masks(allowed, distance <= self.width)
        elif self.window == "local_p":
            centres = self.centres(query, mask, steps, scores.dtype)
            distance = ops.cast(steps, scores.dtype) - centres
            allowed = both_masks(allowed, ops.abs(distance) <= self.width)
        a = masked_softmax(scores, allowed)
        if self.window == "local_p":
            a = a * ops.exp(-2 * ops.square(distance / self.width))  # sigma = D / 2
        elif self.window == "hard":
            a = one_hot_straight_through(a, scores if noise is None else scores + noise, allowed)
        return ops.matmul(ops.cast(a, memory.dtype), memory), a

    def centres(self, query, mask, steps, dtype):
        """Returns p_d of the local_p window, (batch, D, 1)."""
        fraction = ops.tanh(ops.matmul(query, self.position_kernel))
        fraction = ops.sigmoid(ops.cast(ops.matmul(fraction, self.position_v), dtype))
        if mask is None:
            return ops.cast(ops.shape(steps)[0], dtype) * fraction
        return ops.reshape(ops.sum(ops.cast(mask, dtype), axis=1), (-1, 1, 1)) * fraction

    def call(
        self, query, memory, query_mask=None, memory_mask=None, start=0, return_attention_scores=False, training=None
    ):  # fmt: skip
        del query_mask
        positions, noise = None, None
        if self.uses_positions:
            steps = ops.arange(ops.shape(query)[1], dtype="int32")
            positions = ops.reshape(ops.cast(start, "int32"), (-1, 1)) + steps
        if self.window == "hard" and training:
            noise = self.noise(ops.shape(query)[0], ops.shape(query)[1], ops.shape(memory)[1])
        y, a = self.attend(query, self.keys(memory), memory, memory_mask, positions, noise)
        return (y, a) if return_attention_scores else y

    # The cache protocol (`kapps.generation.cache_protocol`)

    def check_decoding(self, return_attention_scores=False, **arguments):
        del arguments
        if return_attention_scores:
            raise ValueError(
                "has return_attention_scores=True, which a decoding step does not support"
            )

    def decoding_memory(self, memory):
        keys = {} if self.score == "dot" else {"keys": self.keys(memory)}
        return {"memory": memory, **keys}

    def decoding_state(self, batch, length, memory):
        del batch, length, memory
        return {}

    def decoding_step(self, x, position, state, memory):
        values = memory["memory"]
        positions = position if self.uses_positions else None
        y, _ = self.attend(
            x, memory.get("keys", values), values, memory.get("memory_mask"), positions
        )
        return y, state

    def compute_output_spec(
        self, query, memory, query_mask=None, memory_mask=None, start=0, return_attention_scores=False, training=None
    ):  # fmt: skip
        del query_mask, memory_mask, start, training
        y = keras.KerasTensor((*query.shape[:-1], memory.shape[-1]), self.compute_dtype)
        if not return_attention_scores:
            return y
        return y, keras.KerasTensor((*query.shape[:-1], memory.shape[1]), "float32")

    def get_config(self):
        options = ("score", "window", "units", "width", "seed", "use_bias")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """Products of queries, memory, and each query with each input (see `kapps.analysis.register_cost`)."""
        del output_shapes
        (batch, d, p), (_, m, k) = input_shapes[:2]
        units = (self.units or p) if self.score in PROJECTED else p
        projections = 0 if self.score == "dot" else m * k * units
        projections += d * p * units if self.score in PROJECTED else 0
        projections += d * p * (p + 1) if self.window == "local_p" else 0
        tanh = d * m * units if self.score in ("additive", "concat") else 0
        return {
            "macs": batch * (projections + d * m * (units + k)),
            "additions": batch * (tanh + d * m + self.use_bias * (d + m) * units),
            "elementwise": batch * (tanh + 2 * d * m),
            "reach": "unknown",
        }


def both_masks(mask, other):
    """Returns where both masks are True; the first may be None."""
    return other if mask is None else ops.logical_and(mask, other)


def one_hot_straight_through(a, scores, mask):
    """Returns a one-hot vector of each row's largest score, with the gradients of the weights `a`."""
    if mask is not None:
        scores = ops.where(mask, scores, ops.cast(-1e9, scores.dtype))
    one_hot = ops.one_hot(ops.argmax(scores, axis=-1), ops.shape(scores)[-1], dtype=a.dtype)
    if mask is not None:  # zeros, if the mask hides a whole row
        one_hot = ops.where(mask, one_hot, ops.zeros_like(one_hot))
    return one_hot + (a - ops.stop_gradient(a))

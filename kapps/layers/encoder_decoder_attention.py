"""The attention of a decoder to what an encoder has read: scores, and the windows in which they count.

[1] Bahdanau 2015, arXiv:1409.0473: additive scores
[2] Luong 2015, arXiv:1508.04025: dot, general and concat; local windows
[3] Xu 2015, arXiv:1502.03044: hard attention
[4] Jang 2017, arXiv:1611.01144: samples by Gumbel noise, gradients straight through
"""

import keras
from keras import ops

from kapps.layers.multi_head_attention import scores_dtype, weights

SCORES = ("additive", "dot", "general", "concat", "scaled")
WINDOWS = ("global", "local_m", "local_p", "hard")


@keras.saving.register_keras_serializable("kapps")
class Alignment(keras.layers.Layer):
    """A pmf over M inputs at each of D queries, and the mean of the inputs by it.

    X^T is M x K, the inputs; z_d^T is 1 x P, the query at position d.

    a_d = softmax(score(z_d, X)),  1 x M
    y_d^T = a_d^T X^T,  1 x K

    `score` of z = z_d and an input x (K values):

    - "additive": v^T tanh(W z + U x) [1]; "concat": v^T tanh(W_a [z; x]) [2], the same function, W and U beside each
      other being W_a;
    - "dot": z^T x [2], where P = K; "general": z^T W_k^T x [2]; "scaled": z^T W_k^T x / P^(1/2), with W_k K x P.

    `window`:

    - "global": every input;
    - "local_m": those from p_d - D to p_d + D, where p_d = d, D is `width` and the sequences go on monotonically [2];
    - "local_p": those around p_d = S sigmoid(v_p^T tanh(W_p z_d)), S inputs in all; a_d is then times
      exp(-(s - p_d)^2 / (2 (D / 2)^2)) at input s, and its sum is less than 1 [2];
    - "hard": one input. In training it is drawn from a_d, as argmax(score + Gumbel noise), and gradients pass as if
      the mean had been taken, straight through [4]; [3] has an estimate of theirs instead. Without training it is the
      likeliest.

    Call: `layer(query, memory)` with query (batch, D, P) and memory (batch, M, K) gives (batch, D, K), and with
    return_attention_scores=True the weights a too, float32 (batch, D, M). Scores are float32 under any policy. What the
    memory's mask hides has a weight of 0; where nothing is left, the output is 0. `start` is d of the first query, a
    whole number or a tensor of them, one or (batch,).

    Args:
        score: one of the five.
        window: one of the four.
        units: rows of W, U and v of "additive" and "concat"; None for P.
        width: D of the local windows.
        seed: of the draws of the hard window.
    """

    def __init__(self, score="scaled", window="global", units=None, width=10, seed=None, **kwargs):
        super().__init__(**kwargs)
        for what, given, allowed in (("score", score, SCORES), ("window", window, WINDOWS)):
            if given not in allowed:
                raise ValueError(f"{what} is one of {', '.join(allowed)}, not {given!r}")
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width is a whole number of inputs from 1, not {width!r}")
        self.score, self.window, self.units, self.width, self.seed = (
            score,
            window,
            units,
            width,
            seed,
        )
        self.supports_masking = True
        if window == "hard":
            self.generator = keras.random.SeedGenerator(seed)

    @property
    def positioned(self):
        """Whether the position of a query matters: to its window, or to the noise that is drawn for it."""
        return self.window in ("local_m", "hard")

    def build(self, query_shape, memory_shape):
        p, k = query_shape[-1], memory_shape[-1]
        units = self.units or p
        if self.score == "dot" and p != k:
            raise ValueError(
                f"{self.name}: a dot product needs queries as wide as the memory, not {p:,} and {k:,}; "
                'score="general" has a matrix between them'
            )
        if self.score in ("additive", "concat"):
            self.query_kernel = self.add_weight(shape=(p, units), name="query_kernel")
            self.memory_kernel = self.add_weight(shape=(k, units), name="memory_kernel")
            self.v = self.add_weight(shape=(units, 1), name="v")
        elif self.score != "dot":
            self.memory_kernel = self.add_weight(shape=(k, p), name="memory_kernel")
        if self.window == "local_p":
            self.position_kernel = self.add_weight(shape=(p, p), name="position_kernel")
            self.position_v = self.add_weight(shape=(p, 1), name="position_v")
        self.built = True

    def keys(self, memory):
        """Returns what scores need of a memory, (batch, M, P or units), once for all queries."""
        return memory if self.score == "dot" else ops.matmul(memory, self.memory_kernel)

    def scores(self, query, keys):
        """Returns score(z_d, x) of each query and each of the memory's keys: (batch, D, M), float32 or wider."""
        dtype = scores_dtype(query, keys)
        if self.score in ("additive", "concat"):
            both = ops.expand_dims(ops.matmul(query, self.query_kernel), 2) + ops.expand_dims(
                keys, 1
            )
            return ops.squeeze(
                ops.matmul(ops.cast(ops.tanh(both), dtype), ops.cast(self.v, dtype)), -1
            )
        found = ops.matmul(ops.cast(query, dtype), ops.cast(ops.swapaxes(keys, 1, 2), dtype))
        return found * query.shape[-1] ** -0.5 if self.score == "scaled" else found

    def noise(self, batch, queries, inputs):
        """Returns Gumbel noise (batch, queries, inputs) of the hard window."""
        u = keras.random.uniform((batch, queries, inputs), 1e-7, 1.0, "float32", self.generator)
        return -ops.log(-ops.log(ops.minimum(u, 1 - 1e-6)))

    def attend(self, query, keys, memory, mask=None, positions=None, noise=None):
        """Returns y and the weights a.

        Args:
            query: (batch, D, P).
            keys: of the memory, as `keys` returns them.
            memory: (batch, M, K).
            mask: bool (batch, M), which inputs are real; None for all.
            positions: d of each query, int32 (1 or batch, D); None where `positioned` is False.
            noise: as `noise` returns it, in training of the hard window.
        """
        scores = self.scores(query, keys)
        steps = ops.arange(ops.shape(memory)[1], dtype="int32")
        real = None if mask is None else ops.expand_dims(ops.cast(mask, "bool"), 1)
        if self.window == "local_m":
            away = ops.abs(steps - ops.expand_dims(positions, -1))
            real = both(real, away <= self.width)
        elif self.window == "local_p":
            away = ops.cast(steps, scores.dtype) - self.centres(query, mask, steps, scores.dtype)
            real = both(real, ops.abs(away) <= self.width)
        found = weights(scores, real)
        if self.window == "local_p":
            found = found * ops.exp(-2 * ops.square(away / self.width))  # sigma = D / 2
        elif self.window == "hard":
            found = chosen(found, scores if noise is None else scores + noise, real)
        return ops.matmul(ops.cast(found, memory.dtype), memory), found

    def centres(self, query, mask, steps, dtype):
        """Returns p_d of the local_p window, (batch, D, 1)."""
        share = ops.tanh(ops.matmul(query, self.position_kernel))
        share = ops.sigmoid(ops.cast(ops.matmul(share, self.position_v), dtype))
        if mask is None:
            return ops.cast(ops.shape(steps)[0], dtype) * share
        return ops.reshape(ops.sum(ops.cast(mask, dtype), axis=1), (-1, 1, 1)) * share

    def call(
        self, query, memory, query_mask=None, memory_mask=None, start=0, return_attention_scores=False, training=None
    ):  # fmt: skip
        del query_mask
        positions, noise = None, None
        if self.positioned:
            steps = ops.arange(ops.shape(query)[1], dtype="int32")
            positions = ops.reshape(ops.cast(start, "int32"), (-1, 1)) + steps
        if self.window == "hard" and training:
            noise = self.noise(ops.shape(query)[0], ops.shape(query)[1], ops.shape(memory)[1])
        y, a = self.attend(query, self.keys(memory), memory, memory_mask, positions, noise)
        return (y, a) if return_attention_scores else y

    def compute_output_spec(
        self, query, memory, query_mask=None, memory_mask=None, start=0, return_attention_scores=False, training=None
    ):  # fmt: skip
        del query_mask, memory_mask, start, training
        y = keras.KerasTensor((*query.shape[:-1], memory.shape[-1]), self.compute_dtype)
        if not return_attention_scores:
            return y
        return y, keras.KerasTensor((*query.shape[:-1], memory.shape[1]), "float32")

    def get_config(self):
        own = dict(
            score=self.score, window=self.window, units=self.units, width=self.width, seed=self.seed
        )
        return {**super().get_config(), **own}

    def profile_cost(self, input_shapes, output_shapes):
        """Products of queries, of the memory and of each with each (see `kapps.analysis.register_cost`)."""
        del output_shapes
        (batch, d, p), (_, m, k) = input_shapes[:2]
        units = (self.units or p) if self.score in ("additive", "concat") else p
        apart = 0 if self.score == "dot" else m * k * units
        apart += d * p * units if self.score in ("additive", "concat") else 0
        apart += d * p * (p + 1) if self.window == "local_p" else 0
        tanh = d * m * units if self.score in ("additive", "concat") else 0
        return {
            "macs": batch * (apart + d * m * (units + k)),
            "additions": batch * (tanh + d * m),
            "elementwise": batch * (tanh + 2 * d * m),
            "reach": "unknown",
        }


def both(one, other):
    """Returns where both masks are True; the first may be None."""
    return other if one is None else ops.logical_and(one, other)


def chosen(a, scores, mask):
    """Returns a one-hot vector of the largest score of each row, with the gradients of the weights `a`."""
    if mask is not None:
        scores = ops.where(mask, scores, ops.cast(-1e9, scores.dtype))
    one = ops.one_hot(ops.argmax(scores, axis=-1), ops.shape(scores)[-1], dtype=a.dtype)
    if mask is not None:  # nothing, where the mask hides a whole row
        one = ops.where(mask, one, ops.zeros_like(one))
    return one + (a - ops.stop_gradient(a))

"""Causal self-attention by locality-sensitive hashing, with shared queries and keys.

[1] Kitaev 2020, arXiv:2001.04451, section 2
[2] its code, https://github.com/google/trax; and https://github.com/huggingface/transformers, which agrees with it

Departures:
- As in [2], a step attends to all earlier steps of its chunk and of the chunk before it, also to those of other
  buckets, and a pair that meets in several rounds counts several times. The equations of [1] exclude both.
- The first chunk has no chunk before it; in [2] it also attends to the last chunk. Padding at the end then changes
  nothing.
- The rotations are sampled once, from the seed; in [2] again in each training step.
"""

import math

import keras
import numpy as np
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import HIDDEN_SCORE, masked_softmax, scores_dtype

OWN_SCORE = -1e5
"""The score of a step with itself: it attends to itself only where it attends to no other step."""
EPSILON = 1e-6
MOST_STEPS = 2**31 - 1


def unit_length(x):
    """Returns x / |x|, the keys of shared queries, in the dtype of x: 1e-6 is added to the mean square."""
    mean_square = ops.mean(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(mean_square + EPSILON) * x.shape[-1] ** -0.5


def take_rows(x, rows):
    """Returns x[..., rows, :] for each of the first axes: x (a, b, n, width), rows int32 (a, b, m)."""
    a, b, n = ops.shape(x)[:3]
    first = ops.reshape(ops.arange(a * b, dtype="int32") * n, (a, b, 1))
    flat = ops.reshape(x, (a * b * n, x.shape[-1]))
    return ops.take(flat, first + rows, axis=0)


def hash_buckets(x, rotations):
    """Returns the bucket of each vector in each round, int32 (batch, heads, rounds, steps).

    h(x) = argmax([x R; -x R]) for each matrix of rotations; of two matrices, the bucket is h_1 + b_1 h_2 [1, 2].

    Args:
        x: (batch, heads, steps, width).
        rotations: one or two arrays (heads, rounds, width, b / 2).
    """
    buckets, below = 0, 1
    for rotation in rotations:
        rotated = ops.einsum("bhnd,hrdk->bhrnk", x, ops.cast(rotation, x.dtype))
        rotated = ops.concatenate([rotated, -rotated], axis=-1)
        largest = ops.top_k(rotated, 1)[1]  # Keras's argmax has an operation that LiteRT lacks
        buckets = buckets + below * ops.cast(largest[..., 0], "int32")
        below *= 2 * rotation.shape[-1]
    return buckets


def with_chunk_before(x, fill):
    """Returns the chunks of x (a, chunks, size, ...), each after the chunk before it; the first after `fill`."""
    padding = [(1 if axis == 1 else 0, 0) for axis in range(len(x.shape))]
    before = ops.pad(x, padding, constant_values=fill)[:, : ops.shape(x)[1]]
    return ops.concatenate([before, x], axis=2)


def attend_within_chunks(query, value, buckets, hidden, chunk):
    """Attention of sorted steps to earlier steps of their chunk and of the chunk before it, for each round.

    Args:
        query: (batch, heads, steps, width), in float32 or float64; also the keys, with unit length.
        value: (batch, heads, steps, value width).
        buckets: int32 (batch, heads, rounds, steps).
        hidden: bool (batch, 1, 1, steps), True for steps that no step attends to.
        chunk: m; the number of steps is a multiple of it.

    Returns:
        Outputs (batch, heads, rounds, steps, value width), and the logarithms of the sums of exponential scores
        (batch, heads, rounds, steps).
    """
    batch, heads, rounds, steps = ops.shape(buckets)
    place = ops.arange(steps, dtype="int32")
    # Steps of one bucket stay in their order; hidden steps come last.
    order = ops.where(hidden, MOST_STEPS - steps + place, buckets * steps + place)
    order = ops.argsort(order, axis=-1)  # the step at each place
    places = ops.argsort(order, axis=-1)  # the place of each step
    flat = ops.reshape(order, (batch, heads, rounds * steps))
    shape = (batch * heads * rounds, steps // chunk, chunk)
    query, value = (ops.reshape(take_rows(x, flat), (*shape, x.shape[-1])) for x in (query, value))
    shown = ops.sum(ops.cast(ops.logical_not(hidden), "int32"), axis=-1, keepdims=True)
    key_times = ops.where(place < shown, order, MOST_STEPS)
    times, key_times = ops.reshape(order, shape), ops.reshape(key_times, shape)
    key = with_chunk_before(unit_length(query), 0.0)
    key_times = with_chunk_before(key_times, MOST_STEPS)[:, :, None]
    times = times[..., None]
    scores = ops.einsum("acqd,ackd->acqk", query, key)
    scores = ops.where(key_times < times, scores, ops.cast(HIDDEN_SCORE, scores.dtype))
    scores = ops.where(key_times == times, ops.cast(OWN_SCORE, scores.dtype), scores)
    total = ops.logsumexp(scores, axis=-1, keepdims=True)
    weights = ops.cast(ops.exp(scores - total), value.dtype)
    y = ops.einsum("acqk,ackd->acqd", weights, with_chunk_before(value, 0.0))
    width = y.shape[-1]
    y = ops.reshape(y, (batch, heads * rounds, steps, width))
    total = ops.reshape(total, (batch, heads * rounds, steps, 1))
    places = ops.reshape(places, (batch, heads * rounds, steps))
    shape = (batch, heads, rounds, steps)
    return (
        ops.reshape(take_rows(y, places), (*shape, width)),
        ops.reshape(take_rows(total, places), shape),
    )


def lsh_attention(query, value, rotations, chunk, mask=None, buckets=None):
    """Attention to earlier steps whose shared queries and keys are similar, found by hashing [1].

    In each round the steps are sorted by their buckets and cut into chunks of m, so that n steps have 2 m n scores.
    The outputs of the rounds are combined with the weights of their sums of exponential scores.

    Args:
        query: shared queries and keys (batch, heads, steps, width), in float32 or float64.
        value: (batch, heads, steps, value width).
        rotations: as for `hash_buckets`.
        chunk: m.
        mask: bool (batch, steps), False for steps that no step attends to; None for none.
        buckets: of each step, as this function returns them; None to compute them.

    Returns:
        (batch, heads, steps, value width), and the buckets, int32 (batch, heads, rounds, padded steps).
    """
    steps = ops.shape(query)[2]
    padded = (steps + chunk - 1) // chunk * chunk
    query, value = (
        ops.pad(x, ((0, 0), (0, 0), (0, chunk - 1), (0, 0)))[:, :, :padded] for x in (query, value)
    )
    hidden = (ops.arange(padded, dtype="int32") >= steps)[None]
    if mask is not None:
        mask = ops.pad(ops.cast(mask, "int32"), ((0, 0), (0, chunk - 1)))[:, :padded]
        hidden = ops.logical_or(hidden, mask == 0)
    if buckets is None:
        buckets = hash_buckets(ops.stop_gradient(query), rotations)
    y, total = attend_within_chunks(query, value, buckets, hidden[:, None, None], chunk)
    # A softmax; Keras warns of one round.
    weights = ops.exp(total - ops.max(total, axis=2, keepdims=True))
    weights = ops.cast(weights / ops.sum(weights, axis=2, keepdims=True), y.dtype)
    return ops.sum(y * weights[..., None], axis=2)[:, :, :steps], buckets


@keras.saving.register_keras_serializable("kapps")
class LSHAttention(keras.layers.Layer):
    """Causal multi-head self-attention by locality-sensitive hashing with shared queries and keys [1].

    A step attends to at most 2 m - 1 similar earlier steps in each round, and to itself only where it attends to no
    other step. For sequences of at most m steps the output is that of full attention with shared queries and keys.
    For longer ones it approximates that; the values of later steps are never read, but which earlier steps share a
    chunk depends on all steps.

    Time and memory of n steps grow as n log(n), by the sort. Input and output: (batch, steps, width). Scores are
    float32 under any policy. With `return_buckets=True` a call also returns the buckets, which a later call takes as
    `buckets`: `kapps.layers.ReversibleStack` computes a call again, and rounding could change a bucket.

    Decoding is full attention with shared queries and keys: the state is a cache of both, `length` entries each. It
    equals the whole sequence for at most m steps.

    Args:
        heads: number of heads.
        key_dim: width of the shared queries and keys of a head.
        value_dim: width of the values of a head; None for `key_dim`.
        buckets: b, an even number; or a list of two even numbers, whose product is b.
        rounds: number of hash rounds.
        chunk: m.
        seed: seed of the rotations.

    Raises:
        ValueError: for sizes outside their ranges.
    """

    def __init__(
        self, heads, key_dim, value_dim=None, buckets=32, rounds=2, chunk=64, seed=0, **kwargs
    ):
        super().__init__(**kwargs)
        sizes = {"heads": heads, "key_dim": key_dim, "chunk": chunk, "seed": seed}
        for option, size in sizes.items():
            check_argument(self.name, option, size, int)
        check_argument(self.name, "value_dim", value_dim, int | None)
        if not is_integer(rounds, 1, 1024):
            raise ValueError(
                f"{self.name}: rounds={short(rounds)} is not a positive integer up to 1,024"
            )
        factors = list(buckets) if isinstance(buckets, (list, tuple)) else [buckets]
        if len(factors) not in (1, 2) or not all(
            is_integer(b, 2, 2**14) and b % 2 == 0 for b in factors
        ):
            raise ValueError(
                f"{self.name}: buckets={short(buckets)} is not an even number from 2 to {2**14:,}, or a list of two"
            )
        self.heads, self.key_dim, self.value_dim = heads, key_dim, value_dim or key_dim
        self.buckets = tuple(buckets) if isinstance(buckets, (list, tuple)) else buckets
        self.rounds, self.chunk, self.seed = rounds, chunk, seed
        random = np.random.default_rng(seed)
        self.rotations = [
            random.normal(size=(heads, rounds, key_dim, b // 2)).astype("float32") for b in factors
        ]
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        self.query_key = self.add_dense("query_key", width, self.heads * self.key_dim)
        self.value = self.add_dense("value", width, self.heads * self.value_dim)
        self.attention_output = self.add_dense(
            "attention_output", self.heads * self.value_dim, width
        )
        self.built = True

    def add_dense(self, name, inputs, outputs):
        dense = keras.layers.Dense(outputs, use_bias=False, dtype=self.dtype_policy, name=name)
        dense.build((None, None, inputs))
        return dense

    def project(self, x):
        """Returns shared queries and keys, and values: (batch, steps, heads, width of a head) each."""
        shape = (*ops.shape(x)[:2], self.heads)
        query = ops.reshape(self.query_key(x), (*shape, self.key_dim))
        return query, ops.reshape(self.value(x), (*shape, self.value_dim))

    def merge(self, y):
        """Returns the output of the layer from the values of all heads, (batch, heads, steps, value_dim)."""
        y = ops.transpose(y, (0, 2, 1, 3))
        shape = (*ops.shape(y)[:2], self.heads * self.value_dim)
        return self.attention_output(ops.reshape(y, shape))

    def call(self, inputs, mask=None, buckets=None, return_buckets=False):
        query, value = (ops.transpose(y, (0, 2, 1, 3)) for y in self.project(inputs))
        query = ops.cast(query, scores_dtype(query))
        y, buckets = lsh_attention(query, value, self.rotations, self.chunk, mask, buckets)
        return (self.merge(y), buckets) if return_buckets else self.merge(y)

    def compute_output_shape(self, input_shape):
        return input_shape

    # The cache protocol (`kapps.generation.cache_protocol`)

    def decoding_state(self, batch, length):
        sizes = {"keys": self.key_dim, "values": self.value_dim}
        return {
            name: keras.KerasTensor((batch, length, self.heads, size), self.compute_dtype)
            for name, size in sizes.items()
        }

    def decoding_step(self, x, position, state):
        new = dict(zip(("keys", "values"), self.project(x), strict=True))
        steps = ops.arange(ops.shape(state["keys"])[1], dtype="int32")[None]
        is_this_step = (steps == position)[:, :, None, None]
        state = {name: ops.where(is_this_step, new[name], state[name]) for name in state}
        query, key = (ops.cast(y, scores_dtype(y)) for y in (new["keys"], state["keys"]))
        scores = ops.einsum("bqhd,bkhd->bhqk", query, unit_length(key))
        is_own = (steps == position)[:, None, None]
        scores = ops.where(is_own, ops.cast(OWN_SCORE, scores.dtype), scores)
        weights = masked_softmax(scores, (steps <= position)[:, None, None])
        y = ops.einsum("bhqk,bkhd->bhqd", ops.cast(weights, x.dtype), state["values"])
        return self.merge(y), state

    def profile_cost(self, input_shapes, output_shapes):
        """The projections, hashing, and the scores of all chunks; sorting is not counted."""
        del output_shapes
        batch, steps, width = input_shapes[0]
        padded = math.ceil(steps / self.chunk) * self.chunk
        rows = batch * self.heads * self.rounds * padded
        hashes = sum(rotation.shape[-1] for rotation in self.rotations)
        scores = rows * 2 * self.chunk
        return {
            "macs": batch * steps * width * self.heads * (self.key_dim + 2 * self.value_dim)
            + rows * hashes * self.key_dim + scores * (self.key_dim + self.value_dim),
            "additions": scores,
            "elementwise": 3 * scores + 2 * rows * hashes + rows * self.value_dim,
            "reach": "mix",
            "axes": (1,),
        }  # fmt: skip

    def get_config(self):
        options = ("heads", "key_dim", "value_dim", "buckets", "rounds", "chunk", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

"""Causal multi-head self-attention with the sparse patterns of the Sparse Transformer.

[1] Child 2019, arXiv:1904.10509, section 4
"""

import math

import keras
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import masked_softmax, scores_dtype
from kapps.layers.sparse_patterns import PATTERNS, is_far, is_near, sparse_attention


@keras.saving.register_keras_serializable("kapps")
class SparseAttention(keras.layers.Layer):
    """Causal multi-head self-attention with a sparse pattern [1]. Step i attends to steps j <= i with:

    "local":      i - j < l
    "column":     (i - j) mod l = 0
    "strided":    the union of "local" and "column", in one softmax
    "block":      floor(j / l) = floor(i / l)
    "summary":    j mod l >= l - c
    "fixed":      the union of "block" and "summary", in one softmax
    "two_blocks": floor(i / l) - floor(j / l) <= 1, the local attention of the Reformer

    The cost is that of `sparse_attention`. Input and output: (batch, steps, width), any number of steps. Scores are
    float32 under any policy. Masked steps have a weight of 0.

    The decoding state has, for each of `length` steps of two caches: "local" l entries, "block" l, "two_blocks" 2 l,
    "summary" and "fixed" l + c ceil(length / l), "column" and "strided" `length`, since each of the l columns is read
    by later steps.

    Args:
        heads: number of heads.
        key_dim: width of the queries and keys of a head.
        value_dim: width of the values of a head; None for `key_dim`.
        pattern: one of the names above.
        stride: l.
        summary: c, for "summary" and "fixed".
        use_bias: whether the projections have biases.
        kernel_initializer: of the projections of queries, keys and values.
        output_initializer: of the projection of the output; None for `kernel_initializer`.

    Raises:
        ValueError: for an unknown pattern, and for sizes outside their ranges.
    """

    def __init__(
        self, heads, key_dim, value_dim=None, pattern="strided", stride=128, summary=None, use_bias=True,
        kernel_initializer="glorot_uniform", output_initializer=None, **kwargs
    ):  # fmt: skip
        super().__init__(**kwargs)
        for option, size in (("heads", heads), ("key_dim", key_dim)):
            check_argument(self.name, option, size, int)
        check_argument(self.name, "value_dim", value_dim, int | None)
        if pattern not in PATTERNS:
            raise ValueError(
                f"{self.name}: pattern={short(pattern)} is not one of {', '.join(PATTERNS)}"
            )
        if not is_integer(stride, 1, 2**24):
            raise ValueError(
                f"{self.name}: stride={short(stride)} is not a positive integer up to {2**24:,}"
            )
        has_summary = "summary" in PATTERNS[pattern]
        if has_summary and not is_integer(summary, 1, stride):
            raise ValueError(
                f"{self.name}: summary={short(summary)} is not an integer from 1 to {stride}, the stride"
            )
        if not has_summary and summary is not None:
            raise ValueError(
                f'{self.name}: summary={short(summary)} needs the pattern "summary" or "fixed", not "{pattern}"'
            )
        self.heads, self.key_dim, self.value_dim = heads, key_dim, value_dim or key_dim
        self.pattern, self.stride, self.summary, self.use_bias = pattern, stride, summary, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        width, key_width, value_width = (
            input_shape[-1], self.heads * self.key_dim, self.heads * self.value_dim,
        )  # fmt: skip
        self.query = self.add_dense("query", width, key_width)
        self.key = self.add_dense("key", width, key_width)
        self.value = self.add_dense("value", width, value_width)
        self.attention_output = self.add_dense(
            "attention_output", value_width, width, self.output_initializer
        )
        self.built = True

    def add_dense(self, name, inputs, outputs, initializer=None):
        """Adds a dense layer to `outputs` features; each has a copy of the initializer, whose seeds differ."""
        initializer = (initializer or self.kernel_initializer).clone()
        dense = keras.layers.Dense(
            outputs, use_bias=self.use_bias, kernel_initializer=initializer, dtype=self.dtype_policy, name=name
        )  # fmt: skip
        dense.build((None, None, inputs))
        return dense

    def project(self, x):
        """Returns scaled queries, keys and values, (batch, heads, steps, width of a head) each."""
        query, key = self.query(x), self.key(x)
        query = ops.cast(query, scores_dtype(query)) * self.key_dim**-0.5
        return [
            ops.transpose(
                ops.reshape(y, (*ops.shape(y)[:2], self.heads, y.shape[-1] // self.heads)),
                (0, 2, 1, 3),
            )
            for y in (query, key, self.value(x))
        ]

    def merge(self, y):
        """Returns the output of the layer from the values of all heads, (batch, heads, steps, value_dim)."""
        y = ops.transpose(y, (0, 2, 1, 3))
        shape = ops.shape(y)
        return self.attention_output(ops.reshape(y, (*shape[:2], self.heads * self.value_dim)))

    def call(self, inputs, mask=None):
        query, key, value = self.project(inputs)
        y = sparse_attention(query, key, value, self.pattern, self.stride, self.summary, mask)
        return self.merge(y)

    def compute_output_shape(self, input_shape):
        return input_shape

    # The cache protocol (`kapps.generation.cache_protocol`)

    def stores(self, length):
        """Returns the parts of the decoding state, {name: number of steps}; None for a number that is not known."""
        far = PATTERNS[self.pattern][1]
        if far == "column":
            return {"all": length}
        sizes = {}
        if self.pattern != "summary":
            sizes["block"] = self.stride * (2 if self.pattern == "two_blocks" else 1)
        if far == "summary":
            sizes["summary"] = (
                None if length is None else math.ceil(length / self.stride) * self.summary
            )
        return sizes

    @staticmethod
    def state_names(store):
        """Returns the names of the keys and the values of a store. Only that of all steps is a cache."""
        return ("keys", "values") if store == "all" else (f"{store}_key", f"{store}_value")

    def decoding_state(self, batch, length):
        return {
            name: keras.KerasTensor((batch, steps, self.heads, size), self.compute_dtype)
            for store, steps in self.stores(length).items()
            for name, size in zip(
                self.state_names(store), (self.key_dim, self.value_dim), strict=True
            )
        }

    def decoding_step(self, x, position, state):
        query, *new = self.project(x)
        new = [ops.transpose(y, (0, 2, 1, 3)) for y in new]  # (batch, 1, heads, width)
        state, masks = dict(state), []
        for store in self.stores(None):
            names = self.state_names(store)
            entries = ops.arange(ops.shape(state[names[0]])[1], dtype="int32")[None]
            written = self.entry(store, entries, position) == entries
            for name, y in zip(names, new, strict=True):
                state[name] = ops.where(written[:, :, None, None], y, state[name])
            masks.append(self.is_visible(store, entries, position))
        keys, values = (
            ops.concatenate(
                [state[self.state_names(store)[i]] for store in self.stores(None)], axis=1
            )
            for i in (0, 1)
        )
        mask = ops.concatenate(masks, axis=1)[:, None, None]
        keys = ops.cast(keys, scores_dtype(query, keys))
        weights = masked_softmax(ops.einsum("bhqd,bkhd->bhqk", query, keys), mask)
        return self.merge(
            ops.einsum("bhqk,bkhd->bhqd", ops.cast(weights, values.dtype), values)
        ), state

    def entry(self, store, entries, position):
        """Returns the entry that a step writes, int32 (batch, 1); -1 for none."""
        if store == "all":
            return position
        if store == "block":
            return position % ops.shape(entries)[1]
        place = position % self.stride - (self.stride - self.summary)
        return ops.where(place >= 0, position // self.stride * self.summary + place, -1)

    def is_visible(self, store, entries, position):
        """Returns whether a step attends to each entry of a store, (batch, entries)."""
        i, j = position, entries
        (near, far), sizes = PATTERNS[self.pattern], (self.stride, self.summary)
        if (
            store == "block"
        ):  # the entry has the last step before this one, or this one, that it is for
            j = position - (position - entries) % ops.shape(entries)[1]
            visible = is_near(i, j, near, *sizes)
        elif store == "summary":
            j = (
                entries // self.summary * self.stride
                + self.stride
                - self.summary
                + entries % self.summary
            )
            visible = is_far(i, j, far, *sizes) if self.pattern == "fixed" else j <= i
        elif near is None:
            visible = (i - j) % self.stride == 0
        else:
            visible = is_near(i, j, near, *sizes) | is_far(i, j, far, *sizes)
        return visible & (j >= 0) & (j <= i)

    def profile_cost(self, input_shapes, output_shapes):
        """The projections, and the scores of all blocks, masked ones included (see `kapps.analysis.register_cost`)."""
        del output_shapes
        batch, steps, width = input_shapes[0]
        blocks = math.ceil(steps / self.stride)
        near, far = PATTERNS[self.pattern]
        scores = {None: 0, "local": 2, "two blocks": 2}.get(near, 1) * self.stride
        scores += {None: 0, "column": blocks, "summary": blocks * (self.summary or 0)}[far]
        scores *= batch * self.heads * blocks * self.stride
        widths = self.heads * (2 * self.key_dim + 2 * self.value_dim)
        biases = self.heads * (2 * self.key_dim + self.value_dim) + width
        return {
            "macs": batch * steps * width * widths + scores * (self.key_dim + self.value_dim),
            "additions": scores + self.use_bias * batch * steps * biases,
            "elementwise": 3 * scores,
            "reach": "mix",
            "axes": (1,),
        }

    def get_config(self):
        serialize = keras.initializers.serialize
        options = dict(
            heads=self.heads, key_dim=self.key_dim, value_dim=self.value_dim, pattern=self.pattern, stride=self.stride,
            summary=self.summary, use_bias=self.use_bias, kernel_initializer=serialize(self.kernel_initializer),
            output_initializer=serialize(self.output_initializer) if self.output_initializer else None,
        )  # fmt: skip
        return {**super().get_config(), **options}

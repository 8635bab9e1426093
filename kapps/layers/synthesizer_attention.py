"""Self-attention whose scores are not products of queries and keys."""

import math

import keras
from keras import ops

from kapps._checked import check_argument
from kapps._values import is_integer, short
from kapps.layers.multi_head_attention import masked_softmax, scores_dtype

KINDS = ("dense", "random", "fixed_random", "factorised_random", "factorised_dense", "dot_product")
"""The kinds of scores; "dot_product" is ordinary self-attention."""


@keras.saving.register_keras_serializable("kapps")
class SynthesizerAttention(keras.layers.Layer):
    """Multi-head self-attention with synthetic scores (Tay 2020, arXiv:2005.00743).

    Y = softmax(B) G(X), G a linear map and B the scores of each head, N x N for sequences of at most N steps:

    dense:              B_i = W_2 ReLU(W_1 x_i + b_1) + b_2, from step i only
    random:             B = R, a trained matrix, the same for all inputs
    fixed_random:       B = R, a matrix that is not trained
    factorised_random:  B = R_1 R_2^T, each N x rank
    factorised_dense:   B_ij = A(x_i)_(j div b) C(x_i)_(j mod b), A and C as in "dense", to a and b values, a b = N
    dot_product:        B_ij = q_i . k_j / sqrt(key_dim)

    Several kinds make a mixture, B = sum_k alpha_k B_k, with alpha the softmax of one trained number for each kind,
    equal at first. A sequence of n < N steps uses the first n rows and columns. Synthetic scores are not scaled.

    Input and output: (batch, time, features), of at most N steps. Scores are float32 under any policy; masked steps
    have a weight of 0. return_attention_scores=True also returns the weights, (batch, heads, time, time).

    Args:
        heads: number of heads.
        key_dim: width of each head's values, and of the hidden layer of "dense".
        length: N, the largest number of steps.
        kinds: the kinds of scores, a tuple of names from the list above.
        rank: number of columns of R_1 and R_2.
        use_bias: whether the maps of values, queries, keys and outputs have biases; those of "dense" always have.

    Raises:
        ValueError: for a kind that does not exist, and for a sequence of more than N steps.
    """

    def __init__(self, heads, key_dim, length, kinds=("dense",), rank=8, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        for option, value in (("heads", heads), ("key_dim", key_dim), ("length", length)):
            check_argument(self.name, option, value, int)
        if not is_integer(rank, 1, 2**16):
            raise ValueError(f"{self.name}: rank={short(rank)} is not a positive integer to 65,536")
        kinds = tuple(kinds) if isinstance(kinds, (list, tuple)) else (kinds,)
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
            raise ValueError(
                f"{self.name}: kinds={short(kinds)} is not a tuple of different names of {', '.join(KINDS)}"
            )
        self.heads, self.key_dim, self.length = heads, key_dim, length
        self.kinds, self.rank, self.use_bias = kinds, rank, use_bias
        # The largest divisor of N that is not above its square root, and the other factor.
        self.a = max(i for i in range(1, math.isqrt(length) + 1) if length % i == 0)
        self.b = length // self.a
        self.supports_masking = True

    def build(self, input_shape):
        self.check_length(input_shape)
        features, heads, width, n = input_shape[-1], self.heads, self.key_dim, self.length
        self.value = self.add_maps("value", features, width, self.use_bias)
        self.output_kernel = self.add_kernel(
            "output_kernel", (heads, width, features), heads * width, features
        )
        self.output_bias = self.add_bias("output_bias", (features,)) if self.use_bias else None
        self.maps = {}
        for kind in self.kinds:
            if kind == "dot_product":
                self.maps["query"] = self.add_maps("query", features, width, self.use_bias)
                self.maps["key"] = self.add_maps("key", features, width, self.use_bias)
            elif kind == "dense":
                self.maps[kind] = self.add_network(kind, features, n)
            elif kind == "factorised_dense":
                self.maps[kind] = [
                    self.add_network(f"{kind}_a", features, self.a),
                    self.add_network(f"{kind}_b", features, self.b),
                ]
            elif kind == "factorised_random":
                shape, deviation = (
                    (heads, n, self.rank),
                    self.rank**-0.25,
                )  # of variance 1 in R_1 R_2^T
                self.maps[kind] = [self.add_matrix(f"{kind}{i}", shape, deviation) for i in (1, 2)]
            else:
                self.maps[kind] = self.add_matrix(kind, (heads, n, n), 1.0)
        self.mixture = None
        if len(self.kinds) > 1:
            self.mixture = self.add_weight(
                shape=(len(self.kinds),), initializer="zeros", name="mixture", autocast=False
            )
        self.built = True

    def add_kernel(self, name, shape, rows, columns):
        """Adds a kernel with Glorot's initialisation for a matrix of `rows` and `columns`."""
        limit = math.sqrt(6 / (rows + columns))
        initializer = keras.initializers.RandomUniform(-limit, limit)
        return self.add_weight(shape=shape, initializer=initializer, name=name)

    def add_bias(self, name, shape):
        return self.add_weight(shape=shape, initializer="zeros", name=name)

    def add_maps(self, name, features, width, use_bias):
        """Adds a linear map of each head, from the features to `width` values. Returns (kernel, bias or None)."""
        kernel = self.add_kernel(
            f"{name}_kernel", (features, self.heads, width), features, self.heads * width
        )
        return kernel, self.add_bias(f"{name}_bias", (self.heads, width)) if use_bias else None

    def add_network(self, name, features, columns):
        """Adds W_1, b_1, W_2 and b_2 of each head."""
        hidden = self.add_maps(f"{name}_hidden", features, self.key_dim, True)
        shape = (self.heads, self.key_dim, columns)
        kernel = self.add_kernel(f"{name}_kernel", shape, self.key_dim, columns)
        return hidden, kernel, self.add_bias(f"{name}_bias", (self.heads, 1, columns))

    def add_matrix(self, name, shape, deviation):
        return self.add_weight(
            shape=shape, initializer=keras.initializers.RandomNormal(stddev=deviation), name=name, autocast=False,
            trainable=name != "fixed_random",
        )  # fmt: skip

    def check_length(self, shape):
        """Raises ValueError for a sequence that is known to be longer than N steps."""
        if shape[1] is not None and shape[1] > self.length:
            raise ValueError(
                f"{self.name}: a sequence of {shape[1]:,} steps is longer than length={self.length:,}; shorten it, or "
                "build the layer with a larger length"
            )

    def call(self, inputs, use_causal_mask=False, return_attention_scores=False, mask=None):
        self.check_length(inputs.shape)
        steps = ops.shape(inputs)[1]
        keys = self.apply_map(inputs, *self.maps["key"]) if "key" in self.maps else None
        scores = self.scores(inputs, keys, None, steps)
        allowed = None if mask is None else ops.cast(mask, "bool")[:, None, None]
        if use_causal_mask:
            order = ops.arange(steps, dtype="int32")
            earlier = (order[:, None] >= order)[None, None]
            allowed = earlier if allowed is None else ops.logical_and(allowed, earlier)
        weights = masked_softmax(scores, allowed)
        y = self.combine(weights, self.apply_map(inputs, *self.value))
        if not return_attention_scores:
            return y
        shape = (ops.shape(inputs)[0], self.heads, steps, steps)
        return y, ops.broadcast_to(weights, shape)

    def apply_map(self, x, kernel, bias=None):
        """Returns a linear map of each head, (batch, time, heads, width)."""
        y = ops.einsum("btd,dhk->bthk", x, kernel)
        return y if bias is None else y + bias

    def combine(self, weights, values):
        """Returns the outputs of all heads: (1 or batch, heads, queries, keys) and (batch, keys, heads, width)."""
        heads = ops.matmul(ops.cast(weights, values.dtype), ops.transpose(values, (0, 2, 1, 3)))
        y = ops.einsum("bhqk,hkd->bqd", heads, self.output_kernel)
        return y + self.output_bias if self.use_bias else y

    def scores(self, x, keys, positions, columns):
        """Returns the scores, (1 or batch, heads, queries, columns), in float32 or float64.

        Args:
            x: the queries' steps, (batch, queries, features).
            keys: (batch, columns, heads, key_dim), for "dot_product"; otherwise None.
            positions: position of each query, int32 (batch, queries); None for 0, 1, 2, ...
            columns: number of keys.
        """
        scores = [
            self.scores_of(kind, x, keys, positions, columns, scores_dtype(x))
            for kind in self.kinds
        ]
        if self.mixture is None:
            return scores[0]
        alpha = ops.cast(ops.softmax(self.mixture), scores[0].dtype)
        return sum(alpha[i] * part for i, part in enumerate(scores))

    def scores_of(self, kind, x, keys, positions, columns, dtype):
        """Returns the scores of one kind."""
        if kind == "dot_product":
            query = ops.cast(self.apply_map(x, *self.maps["query"]), dtype) * self.key_dim**-0.5
            return ops.einsum("bqhk,bnhk->bhqn", query, ops.cast(keys, dtype))
        if kind == "dense":
            return ops.cast(self.apply_network(x, *self.maps[kind]), dtype)[..., :columns]
        if kind == "factorised_dense":
            a, c = (ops.cast(self.apply_network(x, *maps), dtype) for maps in self.maps[kind])
            product = ops.repeat(a, self.b, axis=-1) * ops.tile(c, (1, 1, 1, self.a))
            return product[..., :columns]
        if kind == "factorised_random":
            rows, others = (ops.cast(matrix, dtype) for matrix in self.maps[kind])
            rows = self.rows_at(rows, positions, columns)
            return ops.matmul(rows, ops.swapaxes(others[None, :, :columns], -1, -2))
        return self.rows_at(ops.cast(self.maps[kind], dtype), positions, columns)[..., :columns]

    def apply_network(self, x, hidden, kernel, bias):
        """Returns W_2 ReLU(W_1 x + b_1) + b_2 of each head, (batch, heads, time, values)."""
        y = ops.transpose(ops.relu(self.apply_map(x, *hidden)), (0, 2, 1, 3))
        return ops.matmul(y, kernel) + bias

    def rows_at(self, matrix, positions, count):
        """Returns rows of a matrix (heads, N, values): the first `count`, or those at positions (batch, queries)."""
        if positions is None:
            return matrix[None, :, :count]
        return ops.swapaxes(ops.take(matrix, positions, axis=1), 0, 1)

    # The cache protocol (`kapps.generation.cache_protocol`): values are cached, and keys only for "dot_product".

    def check_decoding(self, use_causal_mask=False, return_attention_scores=False):
        if not use_causal_mask or return_attention_scores:
            raise ValueError(
                "(SynthesizerAttention) has no step: it needs use_causal_mask=True and return_attention_scores=False"
            )

    @property
    def decoding_limit(self):
        return self.length

    def decoding_state(self, batch, length):
        names = ("keys", "values") if "dot_product" in self.kinds else ("values",)
        shape = (batch, length, self.heads, self.key_dim)
        return {name: keras.KerasTensor(shape, self.compute_dtype) for name in names}

    def decoding_step(self, x, position, state):
        columns = ops.shape(state["values"])[1]
        steps = ops.expand_dims(ops.arange(columns, dtype="int32"), 0)
        is_this_step = (steps == position)[:, :, None, None]
        maps = {"keys": self.maps.get("key"), "values": self.value}
        state = {
            name: ops.where(is_this_step, self.apply_map(x, *maps[name]), cache)
            for name, cache in state.items()
        }
        scores = self.scores(x, state.get("keys"), position, columns)
        weights = masked_softmax(scores, (steps <= position)[:, None, None])
        return self.combine(weights, state["values"]), state

    def compute_output_spec(
        self, inputs, use_causal_mask=False, return_attention_scores=False, mask=None
    ):
        del use_causal_mask, mask
        self.check_length(inputs.shape)
        y = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_attention_scores:
            return y
        batch, steps, _ = inputs.shape
        return y, keras.KerasTensor((batch, self.heads, steps, steps), "float32")

    def get_config(self):
        options = ("heads", "key_dim", "length", "kinds", "rank", "use_bias")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}}

    def profile_cost(self, input_shapes, output_shapes):
        """The linear maps, the scores of each kind, the softmax and the weighted sums of values."""
        del output_shapes
        batch, n, features = input_shapes[0]
        product = features * self.heads * self.key_dim
        outputs = {"dense": self.length, "factorised_dense": self.a + self.b}
        macs, elementwise = 2 * n * product + self.heads * n * n * self.key_dim, 0
        for kind in self.kinds:
            if kind in outputs:
                networks = 1 + (kind == "factorised_dense")
                macs += n * (networks * product + self.heads * self.key_dim * outputs[kind])
                elementwise += n * self.heads * self.key_dim * networks  # ReLU
            elif kind == "dot_product":
                macs += 2 * n * product + self.heads * n * n * self.key_dim
        elementwise += self.heads * n * n * (2 + len(self.kinds) * (len(self.kinds) > 1))
        shared = self.heads * n * n * self.rank if "factorised_random" in self.kinds else 0
        return {
            "macs": batch * macs + shared,
            "additions": batch * self.heads * n * n,
            "elementwise": batch * elementwise,
            "reach": "mix",
        }  # fmt: skip

"""Self-attention with the symbols of the lectures, with separate or with merged matrices."""

import math

import keras
from keras import ops

from kapps._checked import check_argument
from kapps.layers.multi_head_attention import masked_softmax, scores_dtype


@keras.saving.register_keras_serializable("kapps")
class SelfAttention(keras.layers.Layer):
    """Self-attention of M vectors with H heads.

    X^T is M x K: M vectors of K features. For each head i = 0 .. H - 1:

    X_q^T = X^T W_q,  X_k^T = X^T W_k,  X_v^T = X^T W_v,  with W_q and W_k K x P and W_v K x L
    A^T = softmax_row(X_q^T X_k / P^(1/2)),  M x M, each row a distribution (pmf)
    Y_i^T = A^T X_v^T,  M x L
    Y^T = sum_i Y_i^T W_o,  M x N, with W_o L x N

    With `use_bias` the queries, keys and values have biases b_q, b_k (H, P) and b_v (H, L).

    Merged, W_q W_k^T is one matrix W_qk, K x K, which is not larger if P is at least K / 2, and W_v W_o is one matrix
    W_vo, K x N, which is not larger if K L + L N is at least K N:

    A^T = softmax_row(X^T W_qk X / P^(1/2)),  Y^T = sum_i A^T X^T W_vo

    `keras.layers.MultiHeadAttention` is the same with separate matrices; use `kapps.layers.MultiHeadAttention` for long
    sequences. Input: (batch, M, K). Output: (batch, M, N); with return_attention_scores=True also the weights A^T,
    float32 (batch, H, M, M). Scores are float32 under any policy; masked steps have a weight of 0. Weights: W_q, W_k
    (H, K, P), W_v (H, K, L), W_o (H, L, N), W_qk (H, K, K), W_vo (H, K, N).

    Args:
        heads: H.
        key_dim: P.
        value_dim: L; None for P.
        output_dim: N; None for no W_o: the outputs of the heads are concatenated, M x H L.
        merge_qk: whether W_qk replaces W_q and W_k.
        merge_vo: whether W_vo replaces W_v and W_o.
        use_bias: whether queries, keys and values have biases; merged matrices have none.
    """

    def __init__(
        self, heads=1, key_dim=64, value_dim=None, output_dim=None, merge_qk=False, merge_vo=False, use_bias=False,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        for option, size in (("heads", heads), ("key_dim", key_dim)):
            check_argument(self.name, option, size, int)
        for option, size in (("value_dim", value_dim), ("output_dim", output_dim)):
            check_argument(self.name, option, size, int | None)
        if merge_vo and output_dim is None:
            raise ValueError(f"{self.name}: merge_vo=True needs output_dim, as W_vo is K x N")
        check_argument(self.name, "use_bias", use_bias, bool)
        if use_bias and (merge_qk or merge_vo):
            raise ValueError(f"{self.name}: use_bias=True needs merge_qk=False and merge_vo=False")
        self.heads, self.key_dim, self.output_dim = heads, key_dim, output_dim
        self.value_dim = value_dim or key_dim
        self.merge_qk, self.merge_vo, self.use_bias = merge_qk, merge_vo, use_bias
        self.supports_masking = True

    def build(self, input_shape):
        k, p, n = input_shape[-1], self.key_dim, self.output_dim
        if self.merge_qk:
            self.w_qk = self.add_matrices(k, k, "W_qk")
        else:
            self.w_q, self.w_k = self.add_matrices(k, p, "W_q"), self.add_matrices(k, p, "W_k")
        if self.merge_vo:
            self.w_vo = self.add_matrices(k, n, "W_vo")
        else:
            self.w_v = self.add_matrices(k, self.value_dim, "W_v")
            self.w_o = None if n is None else self.add_matrices(self.value_dim, n, "W_o")
        self.b_q = self.b_k = self.b_v = None
        if self.use_bias:
            self.b_q, self.b_k = self.add_biases(p, "b_q"), self.add_biases(p, "b_k")
            self.b_v = self.add_biases(self.value_dim, "b_v")
        self.built = True

    def add_biases(self, width, name):
        """Adds a trainable vector of each head."""
        return self.add_weight(shape=(self.heads, width), initializer="zeros", name=name)

    def add_matrices(self, rows, columns, name):
        """Adds a trainable matrix of each head."""
        limit = math.sqrt(6 / (rows + columns))  # Glorot's, for each head
        initializer = keras.initializers.RandomUniform(-limit, limit)
        return self.add_weight(
            shape=(self.heads, rows, columns), initializer=initializer, name=name
        )

    def call(self, inputs, mask=None, use_causal_mask=False, return_attention_scores=False):
        a = self.attention_weights(inputs, mask, use_causal_mask)
        weights = ops.cast(a, inputs.dtype)
        if self.merge_vo:
            y = ops.einsum("bhmn,bnk,hko->bmo", weights, inputs, self.w_vo)
        else:
            y = self.combine(weights, project(inputs, self.w_v, self.b_v))
        return (y, a) if return_attention_scores else y

    def combine(self, weights, values):
        """Returns Y^T, (batch, queries, N), of weights (batch, H, queries, M) and values (batch, H, M, L)."""
        heads = ops.matmul(weights, values)
        if self.w_o is not None:
            return ops.einsum("bhml,hlo->bmo", heads, self.w_o)
        batch, _, queries, _ = ops.shape(heads)
        shape = (batch, queries, self.heads * self.value_dim)
        return ops.reshape(ops.transpose(heads, (0, 2, 1, 3)), shape)

    def attention_weights(self, x, mask, causal):
        """Returns A^T of each head, (batch, H, M, M), float32 or wider."""
        dtype = scores_dtype(x)
        if self.merge_qk:
            query = ops.einsum("bmk,hkj->bhmj", x, self.w_qk)
            key = ops.expand_dims(x, 1)
        else:
            query, key = project(x, self.w_q, self.b_q), project(x, self.w_k, self.b_k)
        key = ops.swapaxes(ops.cast(key, dtype), 2, 3)
        scores = ops.matmul(ops.cast(query, dtype), key) * self.key_dim**-0.5
        allowed = None if mask is None else ops.cast(mask, "bool")[:, None, None]
        if causal:
            steps = ops.arange(ops.shape(x)[1], dtype="int32")
            earlier = (steps[:, None] >= steps)[None, None]
            allowed = earlier if allowed is None else ops.logical_and(allowed, earlier)
        return masked_softmax(scores, allowed)

    # The cache protocol (`kapps.generation.cache_protocol`): keys and values, (batch, length, H, P or L).

    def check_decoding(self, use_causal_mask=False, return_attention_scores=False):
        if not use_causal_mask or return_attention_scores or self.merge_qk or self.merge_vo:
            raise ValueError(
                "(SelfAttention) has no step: it needs use_causal_mask=True, no merged matrices and "
                "return_attention_scores=False"
            )

    def decoding_state(self, batch, length):
        widths = {"keys": self.key_dim, "values": self.value_dim}
        return {
            name: keras.KerasTensor((batch, length, self.heads, width), self.compute_dtype)
            for name, width in widths.items()
        }

    def decoding_step(self, x, position, state):
        steps = ops.expand_dims(ops.arange(ops.shape(state["keys"])[1], dtype="int32"), 0)
        new = {"keys": (self.w_k, self.b_k), "values": (self.w_v, self.b_v)}
        is_this_step = (steps == position)[:, :, None, None]
        state = {
            name: ops.where(
                is_this_step, ops.transpose(project(x, *new[name]), (0, 2, 1, 3)), cache
            )
            for name, cache in state.items()
        }
        keys, values = (ops.transpose(state[name], (0, 2, 1, 3)) for name in ("keys", "values"))
        query, dtype = project(x, self.w_q, self.b_q), scores_dtype(x)
        scores = ops.matmul(ops.cast(query, dtype), ops.cast(ops.swapaxes(keys, 2, 3), dtype))
        a = masked_softmax(scores / math.sqrt(self.key_dim), (steps <= position)[:, None, None])
        return self.combine(ops.cast(a, values.dtype), values), state

    def merged(self):
        """Returns a layer with the same outputs that has W_qk, and if there is a W_o also W_vo."""
        if self.use_bias:
            raise ValueError(f"{self.name}: matrices with biases cannot be merged")
        config = dict(self.get_config(), merge_qk=True, merge_vo=self.output_dim is not None)
        layer = type(self).from_config({**config, "name": f"{self.name}_merged"})
        x = (self.w_qk if self.merge_qk else self.w_q).shape[1]
        layer.build((None, None, x))
        if self.merge_qk:
            layer.w_qk.assign(self.w_qk)
        else:
            layer.w_qk.assign(ops.matmul(self.w_q, ops.swapaxes(self.w_k, 1, 2)))
        if self.merge_vo:
            layer.w_vo.assign(self.w_vo)
        elif self.w_o is None:
            layer.w_v.assign(self.w_v)
        else:
            layer.w_vo.assign(ops.matmul(self.w_v, self.w_o))
        return layer

    def compute_output_spec(
        self, inputs, mask=None, use_causal_mask=False, return_attention_scores=False
    ):
        del mask, use_causal_mask
        batch, m, _ = inputs.shape
        y = keras.KerasTensor(
            (batch, m, self.output_dim or self.heads * self.value_dim), self.compute_dtype
        )
        if not return_attention_scores:
            return y
        return y, keras.KerasTensor((batch, self.heads, m, m), "float32")

    def get_config(self):
        options = dict(
            heads=self.heads, key_dim=self.key_dim, value_dim=self.value_dim, output_dim=self.output_dim,
            merge_qk=self.merge_qk, merge_vo=self.merge_vo, use_bias=self.use_bias,
        )  # fmt: skip
        return {**super().get_config(), **options}


def project(x, kernel, bias):
    """Returns a linear map of each head, (batch, H, M, width), of x (batch, M, K); the bias (H, width) may be None."""
    y = ops.einsum("bmk,hkp->bhmp", x, kernel)
    return y if bias is None else y + ops.expand_dims(bias, 1)

"""Multi-head attention as in Keras, with scores in float32 and masks that are safe in any precision.

[1] Vaswani 2017, arXiv:1706.03762
"""

import keras
from keras import ops

from kapps import _keras_compat
from kapps._checked import check_argument

HIDDEN_SCORE = -1e9
"""The score of masked steps, in float32 or float64: it is finite, and its exponential is 0."""


def scores_dtype(*tensors):
    """Returns the dtype in which scores are computed: float64 if a tensor has it, otherwise float32."""
    return keras.backend.result_type(*(tensor.dtype for tensor in tensors), "float32")


def masked_softmax(scores, mask=None):
    """Returns the softmax of scores along the last axis: 0 where a mask is False, and all 0 if it hides a whole row.

    Args:
        scores: (..., steps), float32 or float64.
        mask: bool, broadcast to the scores, False for hidden steps; None for none.
    """
    if mask is None:
        return ops.softmax(scores, axis=-1)
    mask = ops.cast(mask, "bool")
    weights = ops.softmax(ops.where(mask, scores, ops.cast(HIDDEN_SCORE, scores.dtype)), axis=-1)
    return ops.where(mask, weights, ops.zeros_like(weights))


def soft_masked_softmax(scores, mask):
    """Returns m exp(s) / sum(m exp(s)) along the last axis; the mask m, in [0, 1], has a value above 0 in each row.

    Args:
        scores: (blocks, heads, queries, steps), float32 or float64.
        mask: (heads, steps).
    """
    mask = ops.expand_dims(ops.cast(mask, scores.dtype), 1)
    is_visible = mask > 0
    largest = ops.max(ops.where(is_visible, scores, HIDDEN_SCORE), axis=-1, keepdims=True)
    weights = mask * ops.exp(ops.where(is_visible, scores - ops.stop_gradient(largest), 0.0))
    return weights / ops.sum(weights, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable("kapps")
class MultiHeadAttention(_keras_compat.MultiHeadAttention):
    """Keras's layer [1], with scores and softmax in float32 under any precision policy.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V
    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O,  head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)

    Calls, weights and files are those of `keras.layers.MultiHeadAttention`. Masked steps have a weight of 0; a query
    for which all steps are masked has the bias as its output. The inputs keep their masks, and the output has the
    query's mask. The weights of `return_attention_scores=True` are float32, (batch, heads, queries, keys).

    If flash attention is enabled (`keras.config.enable_flash_attention`) and the backend has it, Keras's code is used.

    Args:
        num_heads: h.
        key_dim: d_k.
        chunk: number of queries that attend at a time. Only their scores are in memory, also in the gradient, which
            computes them again. None for all queries. It excludes attention_mask and dropout of the weights.
        **kwargs: as for `keras.layers.MultiHeadAttention`.
    """

    profile_as = keras.layers.MultiHeadAttention  # see `kapps.analysis.register_cost`

    def __init__(self, num_heads, key_dim, chunk=None, **kwargs):
        for option, value in (("num_heads", num_heads), ("key_dim", key_dim)):
            check_argument(kwargs.get("name") or "MultiHeadAttention", option, value, int)
        super().__init__(num_heads, key_dim, **kwargs)
        check_argument(self.name, "chunk", chunk, int | None)
        if chunk and self.dropout:
            raise ValueError(
                f"{self.name}: chunk={chunk} excludes dropout of the weights, but dropout is {self.dropout!r}"
            )
        self.chunk = chunk

    def call(
        self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        return_attention_scores=False, training=None, use_causal_mask=False,
    ):  # fmt: skip
        del query_mask  # Keras reads it from the query
        # Keras removes the masks of its inputs, which residual connections and other layers need.
        query, value = ops.copy(query), ops.copy(value)
        key = None if key is None else ops.copy(key)
        return super().call(
            query, value, key, None, value_mask, key_mask, attention_mask, return_attention_scores, training,
            use_causal_mask,
        )  # fmt: skip

    def compute_attention_mask(
        self, query, value, query_mask=None, value_mask=None, key_mask=None, attention_mask=None, use_causal_mask=False
    ):  # fmt: skip
        if self.chunk is None or self.has_flash_attention:
            return super().compute_attention_mask(
                query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
            )
        if attention_mask is not None:
            raise ValueError(
                f"{self.name}: chunk={self.chunk} excludes attention_mask, which is as large as the scores; use masks "
                "of steps and use_causal_mask"
            )
        masks = [mask for mask in (value_mask, key_mask) if mask is not None]
        step_mask = ops.logical_and(*masks) if len(masks) == 2 else (masks or [None])[0]
        return step_mask, use_causal_mask

    def compute_attention(
        self, query, key, value, attention_mask=None, training=None, return_attention_scores=False
    ):
        if self.has_flash_attention and not return_attention_scores:
            output, _ = super().compute_attention(query, key, value, attention_mask, training)
            return output, None
        mask, steps = attention_mask, query.shape[1]
        if self.chunk and not self.has_flash_attention:
            step_mask, causal = mask
            if not return_attention_scores and (steps is None or steps > self.chunk):
                return self.attend_in_chunks(query, key, value, step_mask, causal), None
            mask = super().compute_attention_mask(
                query, value, value_mask=step_mask, use_causal_mask=causal
            )
        dtype = scores_dtype(query, key)
        query = self.scale_query(ops.cast(query, dtype))
        scores = self.dot_product(query, ops.cast(key, dtype))
        if mask is not None and len(mask.shape) < len(scores.shape):
            mask = ops.expand_dims(mask, 1)  # one for all heads
        weights = masked_softmax(scores, mask)
        dropped = ops.cast(self.drop_weights(weights, training), value.dtype)
        return self.combine(dropped, value), weights

    def attend_in_chunks(self, query, key, value, step_mask, causal):
        """Returns the output of `compute_attention`, (batch, queries, heads, values), in chunks of queries."""
        batch, steps, chunk = ops.shape(query)[0], ops.shape(query)[1], self.chunk
        count = (steps + chunk - 1) // chunk

        def attend_recomputed(inputs):
            first, query_chunk = inputs
            # `remat` passes gradients to the arguments of its function only, so key and value are arguments.
            attend = keras.remat(
                lambda *tensors: self.attend_chunk(first, *tensors, step_mask, causal)
            )
            return attend(query_chunk, key, value)

        padded = ops.pad(query, ((0, 0), (0, chunk - 1), (0, 0), (0, 0)))[:, : count * chunk]
        chunks = ops.reshape(padded, (batch, count, chunk, *query.shape[2:]))
        firsts = ops.arange(count, dtype="int32") * chunk
        y = ops.map(attend_recomputed, (firsts, ops.transpose(chunks, (1, 0, 2, 3, 4))))
        y = ops.transpose(y, (1, 0, 2, 3, 4))
        return ops.reshape(y, (batch, count * chunk, *value.shape[2:]))[:, :steps]

    def attend_chunk(self, first, query, key, value, step_mask, causal):
        """Returns the output of `chunk` queries; `first` is the position of the first one."""
        dtype = scores_dtype(query, key)
        mask = None if step_mask is None else ops.cast(step_mask, "bool")[:, None]
        positions = first + ops.arange(self.chunk, dtype="int32")
        distance = positions[:, None] - ops.arange(ops.shape(key)[1], dtype="int32")
        steps_back = _keras_compat.sliding_window(self)
        window = ops.abs(distance) < steps_back if steps_back else None
        for other in (distance >= 0 if causal else None, window):
            if other is not None:
                mask = other[None] if mask is None else ops.logical_and(mask, other)
        query = self.scale_query(ops.cast(query, dtype))
        scores = ops.einsum("bqhd,bkhd->bhqk", query, ops.cast(key, dtype))
        weights = masked_softmax(scores, None if mask is None else mask[:, None])
        return ops.einsum("bhqk,bkhd->bqhd", ops.cast(weights, value.dtype), value)

    def compute_output_spec(
        self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        return_attention_scores=False, training=None, use_causal_mask=False,
    ):  # fmt: skip
        del query_mask, value_mask, key_mask, attention_mask, training, use_causal_mask
        output = super().compute_output_spec(query, value, key)
        if not return_attention_scores:
            return output
        shape = (query.shape[0], self.num_heads, query.shape[1], value.shape[1])
        return output, keras.KerasTensor(shape, "float32")

    def get_config(self):
        return {**super().get_config(), "chunk": self.chunk}

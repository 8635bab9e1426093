"""Attention of many heads as Keras has it, its scores in float32 and its masks safe in any precision.

[1] Vaswani 2017, arXiv:1706.03762
"""

import keras
from keras import ops

HIDDEN = -1e9
"""The score of what a mask hides, in float32 and wider: its exponential is 0, and it is finite."""


def scores_dtype(*tensors):
    """Returns the dtype in which scores are computed: float32, or float64 where the tensors are."""
    return keras.backend.result_type(*(tensor.dtype for tensor in tensors), "float32")


def weights(scores, mask=None):
    """Returns softmax of scores along the last axis, those of what a mask hides 0; all 0 where it hides a whole row.

    Args:
        scores: (..., steps), float32 or wider.
        mask: bool, broadcast to the scores, True where attention may look; None for everywhere.
    """
    if mask is None:
        return ops.softmax(scores, axis=-1)
    mask = ops.cast(mask, "bool")
    found = ops.softmax(ops.where(mask, scores, ops.cast(HIDDEN, scores.dtype)), axis=-1)
    return ops.where(mask, found, ops.zeros_like(found))


@keras.saving.register_keras_serializable("kapps")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Keras's layer [1], with scores and softmax in float32 under any precision policy.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V
    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O,  head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)

    Arguments, calls, weights and files are those of `keras.layers.MultiHeadAttention`. What a mask hides has a weight
    of 0, and a query to which it hides everything an output of the bias alone; a query's own mask stays with it.
    Weights that `return_attention_scores=True` returns are float32, (batch, heads, queries, keys).
    """

    def call(
        self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        return_attention_scores=False, training=None, use_causal_mask=False,
    ):  # fmt: skip
        # Keras takes the masks off its inputs, and a residual connection around the layer would lose them.
        kept = [(x, getattr(x, "_keras_mask", None)) for x in (query, value, key)]
        found = super().call(
            query, value, key, query_mask, value_mask, key_mask, attention_mask, return_attention_scores, training,
            use_causal_mask,
        )  # fmt: skip
        for x, mask in kept:
            if mask is not None:
                x._keras_mask = mask
        return found

    def _compute_attention(
        self, query, key, value, attention_mask=None, training=None, return_attention_scores=False
    ):
        if self._flash_attention and not return_attention_scores:
            found, _ = super()._compute_attention(query, key, value, attention_mask, training)
            return found, None
        dtype = scores_dtype(query, key)
        query = ops.cast(query, dtype) * self._inverse_sqrt_key_dim
        scores = ops.einsum(self._dot_product_equation, ops.cast(key, dtype), query)
        mask = attention_mask
        if mask is not None and len(mask.shape) < len(scores.shape):
            mask = ops.expand_dims(mask, 1)  # one for all heads
        found = weights(scores, mask)
        used = self._dropout_layer(found, training=training) if self._dropout else found
        used = ops.cast(used, value.dtype)
        return ops.einsum(self._combine_equation, used, value), found

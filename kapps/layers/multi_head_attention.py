"""Attention of many heads as Keras has it, its scores in float32 and its masks safe in any precision.

[1] Vaswani 2017, arXiv:1706.03762
"""

import keras
from keras import ops

from kapps import _keras_compat

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
class MultiHeadAttention(_keras_compat.MultiHeadAttention):
    """Keras's layer [1], with scores and softmax in float32 under any precision policy.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V
    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O,  head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)

    Calls, weights and files are those of `keras.layers.MultiHeadAttention`. What a mask hides has a weight of 0, and a
    query to which it hides everything an output of the bias alone. Masks stay with the inputs, and the query's goes to
    the output. Weights that `return_attention_scores=True` returns are float32, (batch, heads, queries, keys).

    Where flash attention is enabled (`keras.config.enable_flash_attention`) and the backend has it, Keras's path is
    taken.

    Args:
        num_heads: h.
        key_dim: d_k.
        chunk: how many queries to attend with at a time: scores of so many alone are in memory, also in the gradient,
            which computes them again. None for all at once. It goes with masks of steps and use_causal_mask, and with
            no attention_mask and no dropout of weights.
        **kwargs: as for `keras.layers.MultiHeadAttention`.
    """

    profile_as = keras.layers.MultiHeadAttention  # see `kapps.analysis.register_cost`

    def __init__(self, num_heads, key_dim, chunk=None, **kwargs):
        super().__init__(num_heads, key_dim, **kwargs)
        if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
            raise ValueError(
                f"{self.name}: chunk is a whole number of queries from 1, or None, not {chunk!r}"
            )
        if chunk and self.dropout:
            raise ValueError(
                f"{self.name}: chunk goes with no dropout of weights, not {self.dropout!r}"
            )
        self.chunk = chunk

    def call(
        self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        return_attention_scores=False, training=None, use_causal_mask=False,
    ):  # fmt: skip
        del query_mask  # Keras has a query's own mask from the query
        # Keras takes the masks off its inputs, which residual connections and other layers then miss.
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
                f"{self.name}: chunk={self.chunk} goes with masks of steps and use_causal_mask, not attention_mask, "
                "which is as large as the scores are"
            )
        masks = [mask for mask in (value_mask, key_mask) if mask is not None]
        seen = ops.logical_and(*masks) if len(masks) == 2 else (masks or [None])[0]
        return seen, use_causal_mask

    def compute_attention(
        self, query, key, value, attention_mask=None, training=None, return_attention_scores=False
    ):
        if self.has_flash_attention and not return_attention_scores:
            found, _ = super().compute_attention(query, key, value, attention_mask, training)
            return found, None
        mask, steps = attention_mask, query.shape[1]
        if self.chunk and not self.has_flash_attention:
            seen, causal = mask
            if not return_attention_scores and (steps is None or steps > self.chunk):
                return self._chunks(query, key, value, seen, causal), None
            mask = super().compute_attention_mask(
                query, value, value_mask=seen, use_causal_mask=causal
            )
        dtype = scores_dtype(query, key)
        query = self.scale_query(ops.cast(query, dtype))
        scores = self.dot_product(query, ops.cast(key, dtype))
        if mask is not None and len(mask.shape) < len(scores.shape):
            mask = ops.expand_dims(mask, 1)  # one for all heads
        found = weights(scores, mask)
        used = ops.cast(self.drop_weights(found, training), value.dtype)
        return self.combine(used, value), found

    def _chunks(self, query, key, value, seen, causal):
        """Returns what `compute_attention` does, (batch, queries, heads, values), `chunk` queries after others."""
        batch, steps, chunk = ops.shape(query)[0], ops.shape(query)[1], self.chunk
        dtype = scores_dtype(query, key)
        columns = ops.arange(ops.shape(key)[1], dtype="int32")
        count = (steps + chunk - 1) // chunk
        steps_back = _keras_compat.sliding_window(self)

        def attend(first, query, key, value):
            mask = None if seen is None else ops.cast(seen, "bool")[:, None]
            away = (first + ops.arange(chunk, dtype="int32"))[:, None] - columns
            window = ops.abs(away) < steps_back if steps_back else None
            for each in (away >= 0 if causal else None, window):
                if each is not None:
                    mask = each[None] if mask is None else ops.logical_and(mask, each)
            query = self.scale_query(ops.cast(query, dtype))
            scores = ops.einsum("bqhd,bkhd->bhqk", query, ops.cast(key, dtype))
            found = weights(scores, None if mask is None else mask[:, None])
            return ops.einsum("bhqk,bkhd->bqhd", ops.cast(found, value.dtype), value)

        def one(inputs):
            first, part = inputs
            # Gradients flow to the arguments of what is computed again, not to what it holds otherwise.
            return keras.remat(lambda *tensors: attend(first, *tensors))(part, key, value)

        padded = ops.pad(query, ((0, 0), (0, chunk - 1), (0, 0), (0, 0)))[:, : count * chunk]
        parts = ops.reshape(padded, (batch, count, chunk, *query.shape[2:]))
        firsts = ops.arange(count, dtype="int32") * chunk
        found = ops.map(one, (firsts, ops.transpose(parts, (1, 0, 2, 3, 4))))
        found = ops.transpose(found, (1, 0, 2, 3, 4))
        return ops.reshape(found, (batch, count * chunk, *value.shape[2:]))[:, :steps]

    def compute_output_spec(
        self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
        return_attention_scores=False, training=None, use_causal_mask=False,
    ):  # fmt: skip
        del query_mask, value_mask, key_mask, attention_mask, training, use_causal_mask
        found = super().compute_output_spec(query, value, key)
        if not return_attention_scores:
            return found
        shape = (query.shape[0], self.num_heads, query.shape[1], value.shape[1])
        return found, keras.KerasTensor(shape, "float32")

    def get_config(self):
        return {**super().get_config(), "chunk": self.chunk}

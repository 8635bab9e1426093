"""All-attention: attention to earlier steps and to learned vectors, which replace the feed-forward network.

[1] Sukhbaatar 2019, arXiv:1907.01470
[2] their code, https://github.com/facebookresearch/adaptive-span, persistent_memory.py
"""

import keras
from keras import ops

from kapps.layers.adaptive_span import AdaptiveSpanAttention
from kapps.layers.multi_head_attention import soft_masked_softmax
from kapps.layers.relative_position_scores import check_steps


@keras.saving.register_keras_serializable("kapps")
class AllAttention(AdaptiveSpanAttention):
    """Adaptive-span attention whose heads also attend to N persistent vectors, learned keys and values [1].

    s_x = q_t . (k_(t-x) + p_x) / d^(1/2) for the steps back x = 1 to S,  s_i = q_t . K_i / d^(1/2) for i = 1 to N
    y_t = (sum_x m_z(x) exp(s_x) v_(t-x) + sum_i exp(s_i) V_i) / (sum_x m_z(x) exp(s_x) + sum_i exp(s_i))

    The mask m_z is that of `AdaptiveSpanAttention`. Each head has its own K and V. As in [2] they are weights with
    standard deviations d^(-1/2) and N^(-1/2), times d^(1/2) and N^(1/2), which makes their training steps larger. They
    are constants in decoding, so the state is that of `AdaptiveSpanAttention`.

    Without steps before it, a head is a network of N hidden units, with a softmax as activation: `persistent_keys` and
    `persistent_values`, 2 N heads d numbers, are as many as a feed-forward network with N hidden units has.

    Input and output: as for `AdaptiveSpanAttention`. Weights: `v`, (heads,); `persistent_keys` and
    `persistent_values`, (heads, N, d).

    Args:
        heads: number of heads.
        span: S, the largest span in steps.
        persistent: N, the number of persistent vectors.
        **kwargs: of `AdaptiveSpanAttention`.

    Raises:
        ValueError: as for `AdaptiveSpanAttention`.
    """

    def __init__(self, heads, span, *, persistent=1024, **kwargs):
        super().__init__(heads, span, **kwargs)
        check_steps(self.name, persistent=persistent)
        self.persistent = persistent

    def build(self, input_shape):
        super().build(input_shape)
        d = self.width // self.heads
        self.persistent_keys, self.persistent_values = (
            self.add_weight(
                shape=(self.heads, self.persistent, d),
                initializer=keras.initializers.RandomNormal(stddev=size**-0.5),
                name=f"persistent_{name}",
            )
            for name, size in (("keys", d), ("values", self.persistent))
        )

    def weights_of(self, query, scores):
        d, count = query.shape[-1], self.persistent
        keys = ops.cast(self.persistent_keys, query.dtype) * d**0.5
        to_keys = ops.matmul(query, ops.transpose(keys, (0, 2, 1)))
        mask = self.span_mask()
        mask = ops.concatenate([mask, ops.ones((self.heads, count), mask.dtype)], axis=-1)
        weights = soft_masked_softmax(ops.concatenate([scores, to_keys], axis=-1), mask)
        values = ops.cast(self.persistent_values, query.dtype) * count**0.5
        return weights[..., : self.reach], ops.matmul(weights[..., self.reach :], values)

    def get_config(self):
        return {**super().get_config(), "persistent": self.persistent}

    def profile_cost(self, input_shapes, output_shapes):
        """The cost of the steps back, and that of N persistent vectors for each query."""
        cost = super().profile_cost(input_shapes, output_shapes)
        ratio = 1 + self.persistent / self.reach
        del cost["reach"]
        return {**{name: round(ratio * value) for name, value in cost.items()}, "reach": "mix"}

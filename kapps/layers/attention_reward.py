"""The loss by which hard attention learns where to attend.

[1] Xu 2015, Show, attend and tell, arXiv:1502.03044, section 4.1
[2] the authors' code, https://github.com/kelvinxu/arctic-captions
"""

import keras
from keras import ops

from kapps._values import is_number, short


@keras.saving.register_keras_serializable("kapps")
class AttentionReward(keras.layers.Layer):
    """Returns logits; in training it adds the loss by which hard attention learns where to sample [1, equation 12].

    L_r = reward (cost - b) sum_t log p(s_t),  cost = -mean_t log P(y_t)
    b <- 0.9 b + 0.1 mean of the cost over the batch

    s_t is the sampled place. The gradient of L_r is that of log p(s_t) only: the cost is a factor. b is the baseline
    of the cost. L_r is added up over the batch and divided by its number of words. The words are those of `target`
    after its first, without the end.

    Call: `layer(logits, target, log_p)` with logits (batch, time, vocabulary), the target, int32 (batch, time), 0 for
    padding, and log_p (batch, time, 1) of `CaptionDecoder`.

    Args:
        reward: lambda_r of [1]; 1/10 in [2].
    """

    adds_loss = True
    pointwise = True  # see `kapps.generation.cache_protocol`

    def __init__(self, reward=0.1, **kwargs):
        super().__init__(**kwargs)
        if not is_number(reward) or reward < 0:
            raise ValueError(f"{self.name}: reward={short(reward)} is not a number from 0")
        self.reward, self.supports_masking = reward, True

    def build(self, *shapes):
        del shapes
        self.baseline = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="baseline"
        )
        self.built = True

    def call(self, logits, target, log_p, training=False):
        if training:
            is_step = ops.cast(target != 0, logits.dtype)
            is_word = is_step[:, 1:]
            words = ops.one_hot(target[:, 1:], logits.shape[-1], dtype=logits.dtype)
            log_words = ops.sum(ops.log_softmax(logits[:, :-1]) * words, axis=-1)
            cost = -ops.sum(log_words * is_word, axis=1) / ops.maximum(ops.sum(is_word, axis=1), 1)
            cost = ops.stop_gradient(cost)
            log_p = ops.sum(ops.cast(log_p[..., 0], logits.dtype) * is_step, axis=1)
            loss = ops.sum((cost - self.baseline) * log_p)
            self.add_loss(self.reward * loss / ops.maximum(ops.sum(is_step), 1))
            self.baseline.assign(0.9 * self.baseline + 0.1 * ops.mean(cost))
        return logits

    def compute_output_spec(self, logits, target, log_p, training=False):
        del target, log_p, training
        return keras.KerasTensor(logits.shape, logits.dtype)

    def get_config(self):
        return {**super().get_config(), "reward": self.reward}

    def profile_cost(self, input_shapes, output_shapes):
        """Without training it does nothing."""
        del input_shapes, output_shapes
        return {}

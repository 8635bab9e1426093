"""Metrics that Keras lacks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kapps")
class Perplexity(keras.metrics.Mean):
    """exp(-1/n sum log P) over all n tokens since the last reset, however they are batched.

    Tokens of sample weight 0, such as padding, do not count.

    Args:
        from_logits: whether the model returns logits; otherwise it returns probabilities.
        name: name of the metric.
        **kwargs: other arguments of `keras.metrics.Mean`.
    """

    def __init__(self, from_logits=True, name="perplexity", **kwargs):
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = ops.cast(y_pred, "float32")
        losses = ops.sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)
        return super().update_state(losses, sample_weight)

    def result(self):
        return ops.exp(super().result())

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}

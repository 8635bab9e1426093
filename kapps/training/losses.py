"""Losses that Keras lacks.

[1] Vaswani 2017, arXiv:1706.03762, section 5.4
"""

import keras

from kapps._checked import checked


@keras.saving.register_keras_serializable("kapps")
class SmoothedSparseCrossentropy(keras.losses.Loss):
    """Cross-entropy with label smoothing for integer labels: the vocabulary is not expanded to one-hot vectors.

    With K classes, e the label smoothing, z the logits and y the label:

        L = log sum_k exp z_k - (1 - e) z_y - e / K sum_k z_k

    This equals `keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=e)` of one-hot labels.

    Args:
        label_smoothing: e, in [0, 1); 0.1 in [1].
        reduction: as for `keras.losses.Loss`. The default divides the sum over tokens by the sum of their weights, so
            that padding of weight 0 does not count.
        name: name of the loss.

    Call arguments:
        y_true: labels, int (batch, time).
        y_pred: logits, float (batch, time, K). The loss is computed in float32.

    Raises:
        ValueError: if `label_smoothing` is not in [0, 1).
    """

    @checked
    def __init__(
        self,
        label_smoothing: float = 0.1,
        reduction="mean_with_sample_weight",
        name="smoothed_crossentropy",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}: must be in [0, 1)")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        labels = keras.ops.cast(y_true, "int32")
        losses = keras.ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        label_logits = keras.ops.take_along_axis(y_pred, labels[..., None], axis=-1)[..., 0]
        return losses + self.label_smoothing * (label_logits - keras.ops.mean(y_pred, axis=-1))

    def get_config(self) -> dict:
        return {
            "label_smoothing": self.label_smoothing,
            "reduction": self.reduction,
            "name": self.name,
        }

"""Losses that Keras lacks.

[1] Vaswani 2017, arXiv:1706.03762, section 5.4
"""

import keras


@keras.saving.register_keras_serializable("kapps")
class SmoothedSparseCrossentropy(keras.losses.Loss):
    """Cross-entropy with smoothed labels that are given as numbers: no one-hot row of a vocabulary is made.

    With K classes, e the share of the target that is spread over all, z the logits and y the label's number:

        L = log sum_k exp z_k - (1 - e) z_y - e / K sum_k z_k

    which is `keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=e)` of one-hot labels.

    Args:
        label_smoothing: e, in [0, 1); 0.1 in [1].
        reduction: Keras's; by default the sum over tokens by the sum of their weights, so that padding counts nothing.
        name: Keras's.

    Call arguments: labels, int [batch, time], and logits, floats [batch, time, K], computed in float32.

    Raises:
        ValueError: for a share that is none.
    """

    def __init__(
        self, label_smoothing=0.1, reduction="mean_with_sample_weight", name="smoothed_crossentropy"
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}: give 0 or more, and less than 1")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        labels = keras.ops.cast(y_true, "int32")
        losses = keras.ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        own = keras.ops.take_along_axis(y_pred, labels[..., None], axis=-1)[..., 0]
        return losses + self.label_smoothing * (own - keras.ops.mean(y_pred, axis=-1))

    def get_config(self):
        return {
            "label_smoothing": self.label_smoothing,
            "reduction": self.reduction,
            "name": self.name,
        }

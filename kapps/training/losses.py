"""Losses that Keras lacks.

[1] Vaswani 2017, arXiv:1706.03762, section 5.4
[2] Huang 2017, arXiv:1703.09844, section 4
[3] Elbayad 2020, arXiv:1910.10073, sections 3.1 and 4
"""

from collections.abc import Sequence

import keras

from kapps._checked import checked
from kapps._values import is_number, short


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


@keras.saving.register_keras_serializable("kapps")
class JointCrossentropy(keras.losses.Loss):
    """The sum of the cross-entropies of all exits of a network [2].

    Args:
        weights: of each exit's cross-entropy; None for 1 each, as in [2].
        from_logits: whether the exits return logits; otherwise they return probabilities.
        reduction: as for `keras.losses.Loss`.
        name: name of the loss.

    Call arguments:
        y_true: one-hot or smoothed labels, float (batch, classes).
        y_pred: scores of all exits, float (batch, exits, classes).

    Raises:
        ValueError: for a weight that is negative or no number.
    """

    @checked
    def __init__(
        self,
        weights: Sequence[float] | None = None,
        from_logits: bool = True,
        reduction="sum_over_batch_size",
        name="joint_crossentropy",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if weights is not None and not all(is_number(x) and x >= 0 for x in weights):
            raise ValueError(f"weights={short(weights)}: must be numbers, 0 or more, one an exit")
        self.weights = None if weights is None else tuple(weights)
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        exits = y_pred.shape[1]
        weights = self.weights or (1.0,) * exits
        if len(weights) != exits:
            raise ValueError(f"weights={short(weights)}: {exits} exits need {exits} weights")
        return sum(
            weight
            * keras.ops.categorical_crossentropy(y_true, y_pred[:, i], from_logits=self.from_logits)
            for i, weight in enumerate(weights)
        )

    def get_config(self) -> dict:
        return {
            "weights": self.weights,
            "from_logits": self.from_logits,
            "reduction": self.reduction,
            "name": self.name,
        }


@keras.saving.register_keras_serializable("kapps")
class SegmentationCrossentropy(keras.losses.Loss):
    """The cross-entropy of the pixels with a class: void pixels count neither in the sum nor in its divisor.

    With w the weight of a class, z the logits and y the label of a pixel:

        L = sum w_y (log sum_k exp z_k - z_y) / sum w_y

    The sums are over all pixels with a class of a batch, of each replica on several devices. This equals PyTorch's
    `CrossEntropyLoss(weight, ignore_index)`.

    Args:
        classes: number of classes. Labels from `classes` on are void.
        weights: of each class; None for 1 each.
        from_logits: whether the model returns logits; otherwise it returns probabilities.
        reduction: as for `keras.losses.Loss`.
        name: name of the loss.

    Call arguments:
        y_true: labels, int (batch, height, width).
        y_pred: scores, float (batch, height, width, classes).

    Raises:
        ValueError: for a weight that is negative or no number, and for another number of weights than classes.
    """

    @checked
    def __init__(
        self,
        classes: int,
        weights: Sequence[float] | None = None,
        from_logits: bool = True,
        reduction="sum_over_batch_size",
        name="segmentation_crossentropy",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if weights is not None and not all(is_number(x) and x >= 0 for x in weights):
            raise ValueError(f"weights={short(weights)}: must be numbers, 0 or more, one a class")
        if weights is not None and len(weights) != classes:
            raise ValueError(
                f"weights={short(weights)}: {classes} classes need {classes} weights, not {len(weights)}"
            )
        self.classes = classes
        self.weights = None if weights is None else tuple(weights)
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        labels = keras.ops.cast(y_true, "int32")
        has_class = keras.ops.logical_and(labels >= 0, labels < self.classes)
        labels = keras.ops.where(has_class, labels, 0)
        losses = keras.ops.sparse_categorical_crossentropy(
            labels, y_pred, from_logits=self.from_logits
        )
        weights = keras.ops.cast(has_class, losses.dtype)
        if self.weights is not None:
            table = keras.ops.convert_to_tensor(self.weights, losses.dtype)
            weights = weights * keras.ops.take(table, labels, axis=0)
        # The mean of all pixels, which Keras takes, is then the weighted mean of those with a class.
        return losses * weights / keras.ops.maximum(keras.ops.mean(weights), 1e-7)

    def get_config(self) -> dict:
        return {
            "classes": self.classes,
            "weights": self.weights,
            "from_logits": self.from_logits,
            "reduction": self.reduction,
            "name": self.name,
        }


@keras.saving.register_keras_serializable("kapps")
class ExitCrossentropy(keras.losses.Loss):
    """The loss of a decoder with exits: the mean cross-entropy of all exits, and that of the choice of the exit [3].

    With LL_n the log probability of the label at exit n and q the distribution of the exit:

        L = - 1/N sum_n LL_n - alpha log q(n*),  n* = argmax_n LL_n - penalty n

    Args:
        alpha: weight of the second part.
        penalty: lambda, what each layer costs in nats.
        sequence: whether all tokens of a sequence have one n*, the argmax of their mean LL_n, for the rule "sequence".
        reduction: as for `keras.losses.Loss`.
        name: name of the loss.

    Call arguments:
        y_true: labels, int (batch, time), 0 for padding.
        y_pred: joint log probabilities of exit and token, float (batch, time, exits, tokens), as
            `kapps.layers.token_exits.JointScores` returns them; scores without q have the uniform distribution.

    Raises:
        ValueError: if alpha or penalty is negative or no number.
    """

    @checked
    def __init__(
        self,
        alpha: float = 1.0,
        penalty: float = 0.1,
        sequence: bool = False,
        reduction="mean_with_sample_weight",
        name="exit_crossentropy",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        for option, value in (("alpha", alpha), ("penalty", penalty)):
            if not is_number(value) or value < 0:
                raise ValueError(f"{option}={short(value)}: must be a number, 0 or more")
        self.alpha, self.penalty, self.sequence = alpha, penalty, sequence

    def call(self, y_true, y_pred):
        ops, exits = keras.ops, y_pred.shape[2]
        labels = ops.cast(y_true, "int32")[..., None, None]
        labels = ops.repeat(labels, exits, axis=2)
        joint = ops.take_along_axis(y_pred, labels, axis=-1)[..., 0]
        log_q = ops.logsumexp(y_pred, axis=-1)
        likelihoods = joint - log_q  # LL_n
        log_q = ops.log_softmax(log_q)
        scores = likelihoods
        if self.sequence:
            real = ops.cast(ops.not_equal(y_true, 0), scores.dtype)[..., None]
            mean = ops.sum(scores * real, axis=1, keepdims=True) / ops.maximum(
                ops.sum(real, axis=1, keepdims=True), 1
            )
            scores = mean + 0 * scores
        costs = self.penalty * ops.arange(exits, dtype=scores.dtype)
        best = ops.argmax(ops.stop_gradient(scores) - costs, axis=-1)
        choice = ops.take_along_axis(log_q, best[..., None], axis=-1)[..., 0]
        return -ops.mean(likelihoods, axis=-1) - self.alpha * choice

    def get_config(self) -> dict:
        return {
            "alpha": self.alpha,
            "penalty": self.penalty,
            "sequence": self.sequence,
            "reduction": self.reduction,
            "name": self.name,
        }

"""Metrics of segmentation, all from one confusion matrix of the pixels of a whole dataset.

[1] Long 2014, arXiv:1411.4038, section 5: pixel accuracy, mean IoU
[2] Eigen 2014, arXiv:1411.4734, section 6.3.2: median frequency balancing

With h[i, j] the number of pixels of class i that are predicted as class j:

    pixel accuracy = sum_i h[i, i] / sum h
    IoU of class i = h[i, i] / (sum_j h[i, j] + sum_j h[j, i] - h[i, i])
    mean IoU       = mean of the IoU of all classes that are in the labels or in the predictions

Pixels without a class (void) do not count, whatever is predicted for them.
"""

import keras
import numpy as np
from keras import ops

from kapps._arrays import as_array
from kapps._checked import check_argument, checked
from kapps._values import short


class _ConfusionMetric(keras.metrics.Metric):
    """A metric that is computed from a confusion matrix. Counts are integers, which do not lose pixels by rounding.

    Args:
        classes: number of classes. Labels from `classes` on are void.
        name: name of the metric.
        **kwargs: other arguments of `keras.metrics.Metric`.
    """

    def __init__(self, classes: int, name: str, **kwargs):
        check_argument(type(self).__name__, "classes", classes, int)
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.confusion = self.add_variable(
            (classes, classes), initializer="zeros", dtype="int64", name="confusion"
        )

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:  # pixels count once
        counts = count_pairs(y_true, y_pred, self.classes)
        self.confusion.assign(self.confusion + ops.cast(counts, "int64"))

    def reset_state(self) -> None:
        self.confusion.assign(ops.zeros((self.classes, self.classes), "int64"))

    def get_config(self) -> dict:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("kapps")
class MeanIoU(_ConfusionMetric):
    """The mean IoU of all classes that are in the labels or in the predictions [1].

    Unlike `keras.metrics.MeanIoU`, it counts in integers, and takes scores and integer labels with void.

    Args:
        classes: number of classes. Labels from `classes` on are void.
        name: name of the metric.
        **kwargs: other arguments of `keras.metrics.Metric`.

    Call arguments:
        y_true: labels, int (batch, height, width).
        y_pred: scores, float (batch, height, width, classes).
    """

    def __init__(self, classes: int, name: str = "mean_iou", **kwargs):
        super().__init__(classes, name=name, **kwargs)

    def result(self):
        counts = ops.convert_to_tensor(self.confusion)
        both = ops.sum(counts * ops.eye(self.classes, dtype="int64"), axis=0)
        either = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - both
        both, either = ops.cast(both, "float32"), ops.cast(either, "float32")
        present = ops.cast(either > 0, "float32")
        return ops.sum(both / ops.maximum(either, 1.0)) / ops.maximum(ops.sum(present), 1.0)


@keras.saving.register_keras_serializable("kapps")
class PixelAccuracy(_ConfusionMetric):
    """The fraction of the pixels with a class whose prediction is correct [1]. Arguments are those of `MeanIoU`."""

    def __init__(self, classes: int, name: str = "pixel_accuracy", **kwargs):
        super().__init__(classes, name=name, **kwargs)

    def result(self):
        counts = ops.convert_to_tensor(self.confusion)
        correct = ops.sum(counts * ops.eye(self.classes, dtype="int64"))
        total = ops.cast(ops.sum(counts), "float32")
        return ops.cast(correct, "float32") / ops.maximum(total, 1.0)


def count_pairs(labels, scores, classes: int):
    """Returns the number of pixels of each pair of label and prediction, int32 (classes, classes).

    Args:
        labels: any numbers (batch, height, width). Those from `classes` on, and below 0, are void.
        scores: float (batch, height, width, classes).
        classes: number of classes.
    """
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    predictions = ops.reshape(ops.cast(ops.argmax(scores, axis=-1), "int32"), (-1,))
    has_class = ops.logical_and(labels >= 0, labels < classes)
    pairs = ops.where(has_class, labels * classes + predictions, 0)
    counts = ops.segment_sum(ops.cast(has_class, "int32"), pairs, num_segments=classes * classes)
    return ops.reshape(counts, (classes, classes))


@checked
def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Returns the number of pixels of each pair of label (row) and prediction (column): int64 [classes, classes].

    Args:
        labels: integers of any shape. Those from `classes` on are void and do not count.
        predictions: class maps, integers of the same shape.
        classes: number of classes.

    Raises:
        ValueError: for arrays of different shapes, and for a prediction outside the classes.
    """
    labels, predictions = as_array("labels", labels), as_array("predictions", predictions)
    if labels.shape != predictions.shape:
        raise ValueError(
            f"labels are {list(labels.shape)} and predictions {list(predictions.shape)}: pass one prediction a pixel"
        )
    has_class = (labels >= 0) & (labels < classes)
    labels, predictions = (x[has_class].astype("int64") for x in (labels, predictions))
    if len(predictions) and not 0 <= predictions.min() <= predictions.max() < classes:
        raise ValueError(
            f"predictions are in {predictions.min()}..{predictions.max()}, and the classes in 0..{classes - 1}"
        )
    counts = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return counts.reshape(classes, classes)


@checked
def class_ious(confusion: np.ndarray) -> np.ndarray:
    """Returns the IoU of each class, float64 [classes]; NaN for a class in neither the labels nor the predictions.

    Args:
        confusion: of `confusion_matrix`.
    """
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"confusion={short(confusion)} is not a square matrix [classes, classes]")
    both = np.diag(confusion).astype("float64")
    either = confusion.sum(0) + confusion.sum(1) - both
    return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)


def segmentation_scores(confusion: np.ndarray) -> dict[str, float]:
    """Returns "mean_iou", "pixel_accuracy" and "mean_accuracy", the mean over the classes in the labels [1].

    Args:
        confusion: of `confusion_matrix`.
    """
    confusion = np.asarray(confusion)
    ious, labelled = class_ious(confusion), confusion.sum(1)
    present = labelled > 0
    accuracies = np.diag(confusion)[present] / labelled[present]
    return {
        "mean_iou": _mean(ious[~np.isnan(ious)]),
        "pixel_accuracy": float(np.trace(confusion) / max(confusion.sum(), 1)),
        "mean_accuracy": _mean(accuracies),
    }


def _mean(values) -> float:
    return float(values.mean()) if len(values) else 0.0


@checked
def median_frequency_weights(counts: np.ndarray, power: float = 1.0) -> tuple[float, ...]:
    """Returns the weight of each class: the median frequency of all classes, divided by its own [2], to a power.

    The frequency of a class is its pixels divided by all pixels of the images that have the class. A class without
    pixels has weight 0.

    Args:
        counts: [2, classes], of `kapps.data.segmentation.count_class_pixels`.
        power: 1 for [2]. At 0.5, rare classes weigh less: they are predicted for fewer pixels of other classes.
    """
    pixels, total = np.asarray(counts, "float64")
    frequency = pixels / np.maximum(total, 1)
    median = np.median(frequency[frequency > 0]) if frequency.any() else 0.0
    weights = np.divide(median, frequency, out=np.zeros_like(frequency), where=frequency > 0)
    return tuple(map(float, weights**power))

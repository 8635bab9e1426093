"""Losses of segmentation that are close to the metric: the intersection over union of the classes.

[1] Rahman 2016, Optimizing Intersection-over-Union in Deep Neural Networks for Image Segmentation, ISVC 2016
"""

from collections.abc import Sequence

import keras

from kapps._checked import checked
from kapps._values import is_number, short
from kapps.training.losses import SegmentationCrossentropy


@keras.saving.register_keras_serializable("kapps")
class SegmentationJaccard(SegmentationCrossentropy):
    """The cross-entropy of `SegmentationCrossentropy`, and the soft Jaccard loss of the mean over the classes [1].

    With p_c the probability of class c at a pixel, t_c 1 at the pixels of class c and 0 at the others, and C the
    classes that occur in the batch:

        L = L_crossentropy + jaccard (1 - 1 / |C| sum_c I_c / U_c)
        I_c = sum p_c t_c,  U_c = sum (p_c + t_c - p_c t_c)

    The sums are over all pixels with a class of a batch, of each replica on several devices. A class of few pixels
    counts as much as one of many, as in the mean IoU. `weights` are only those of the cross-entropy.

    Args:
        classes, weights, from_logits: as for `SegmentationCrossentropy`.
        jaccard: weight of the soft Jaccard loss.
        reduction: as for `keras.losses.Loss`.
        name: name of the loss.

    Call arguments: as for `SegmentationCrossentropy`.

    Raises:
        ValueError: for a weight that is negative or no number, and for another number of weights than classes.
    """

    @checked
    def __init__(
        self,
        classes: int,
        weights: Sequence[float] | None = None,
        from_logits: bool = True,
        jaccard: float = 1.0,
        reduction="sum_over_batch_size",
        name="segmentation_jaccard",
    ):
        super().__init__(classes, weights, from_logits, reduction=reduction, name=name)
        if not is_number(jaccard) or jaccard < 0:
            raise ValueError(f"jaccard={short(jaccard)}: must be a number, 0 or more")
        self.jaccard = jaccard

    def call(self, y_true, y_pred):
        ops = keras.ops
        probabilities = ops.cast(y_pred, "float32")
        if self.from_logits:
            probabilities = ops.softmax(probabilities, axis=-1)
        labels = ops.cast(y_true, "int32")[..., None]
        # One comparison per class: void pixels are in no class.
        targets = ops.cast(ops.equal(labels, ops.arange(self.classes)), "float32")
        probabilities = probabilities * ops.sum(targets, axis=-1, keepdims=True)
        pixels = tuple(range(len(targets.shape) - 1))
        intersections = ops.sum(probabilities * targets, axis=pixels)
        counts = ops.sum(targets, axis=pixels)
        unions = ops.sum(probabilities, axis=pixels) + counts - intersections
        occurs = ops.cast(counts > 0, "float32")
        ious = intersections / ops.maximum(unions, 1e-7)
        missing = ops.sum((1 - ious) * occurs) / ops.maximum(ops.sum(occurs), 1)
        return super().call(y_true, y_pred) + self.jaccard * missing

    def get_config(self) -> dict:
        return {**super().get_config(), "jaccard": self.jaccard}

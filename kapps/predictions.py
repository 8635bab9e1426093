"""The most likely classes of a classifier's scores."""

import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np

from kapps._arrays import as_array
from kapps._checked import checked
from kapps._values import is_integer

IMAGENET_CLASSES = 1000


@checked
def decode_predictions(
    scores, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[tuple[str | int, str, float]]]:
    """Returns the classes with the highest scores of each image.

        images = kapps.preprocess(["cat.jpg"], "resnet50", weights="imagenet")
        scores = kapps.resnet50(weights="imagenet").predict(images)
        [[(wordnet_id, name, score), ...]] = kapps.decode_predictions(scores)

    The scores are returned as they are: probabilities of a model with a softmax, logits of a model without.

    Args:
        scores: floats (batch, classes).
        top: number of classes of each image.
        class_names: name of each class, in order. None for the 1,000 classes of ImageNet (ILSVRC 2012).

    Returns:
        For each image a list of (class, name, score), the highest score first. The class is the WordNet ID, such as
        "n02123045", of an ImageNet class, and else the column's index.

    Raises:
        ValueError: for scores of another shape, names of another number than the columns, and a `top` that is not
            between 1 and the number of classes.
    """
    scores = as_array("scores", scores)
    if scores.dtype.kind not in "fiu":
        raise ValueError(f"scores are numbers (batch, classes), not of dtype {scores.dtype}")
    if scores.ndim != 2:
        raise ValueError(f"scores have the shape {scores.shape}, not (batch, classes)")
    columns = scores.shape[1]
    if class_names is None and columns != IMAGENET_CLASSES:
        raise ValueError(
            f"scores have {columns} columns, and ImageNet has {IMAGENET_CLASSES} classes; pass class_names"
        )
    classes = imagenet_classes() if class_names is None else list(enumerate(class_names))
    if len(classes) != columns:
        raise ValueError(f"{len(classes)} class_names for scores with {columns} columns")
    if not is_integer(top, 1, columns):
        raise ValueError(f"top={top} is not between 1 and the number of classes, {columns}")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(*classes[i], float(row[i])) for i in indices]
        for row, indices in zip(scores, order, strict=True)
    ]


@functools.cache
def imagenet_classes() -> list[tuple[str, str]]:
    """Returns (WordNet ID, name) of the 1,000 ImageNet classes, in the order of ImageNet classifiers' outputs."""
    text = resources.files("kapps").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [tuple(line.split("\t")) for line in lines]

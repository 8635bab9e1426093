"""Checks of the arguments of `train_dataset` and `eval_dataset`."""

from kapps.data.errors import DataError
from kapps.data.image.decode_image import KERNELS
from kapps.data.image.source import Source


def check_classes(source: Source) -> None:
    """Raises `DataError` for images of one class, which no classifier can be trained on."""
    if len(source.class_names) > 1:
        return
    advice = "add class folders of the other classes"
    tables = [name for name, _ in source.left_out if name.lower().endswith((".csv", ".tsv"))]
    if tables:
        advice = f"if {tables[0]} has the labels, pass it (--labels={tables[0]})"
    elif source.kind in ("folder", "archive"):
        advice += ", or pass a CSV file of labels (--labels=labels.csv)"
    raise DataError(
        f"{source.name} has images of one class, {source.class_names[0]!r}, and a classifier needs at least"
        f" two: {advice}"
    )


def check_arguments(source, preprocessing, batch_size, classes, channels):
    """Raises `DataError` if source and options of a dataset do not match."""
    if len(source.class_names) != classes:
        raise DataError(
            f"{source.name} has {len(source.class_names)} classes and the model {classes}:"
            f" build the model with classes={len(source.class_names)}, or pass other data"
        )
    if channels not in (1, 3):
        raise DataError(f"channels={channels}: choose 1 or 3")
    if batch_size < 1:
        raise DataError(f"batch_size={batch_size}: choose 1 or more")
    if preprocessing.interpolation not in KERNELS:
        raise DataError(
            f"interpolation {preprocessing.interpolation!r}: choose one of {', '.join(KERNELS)}"
        )

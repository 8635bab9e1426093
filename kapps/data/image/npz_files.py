"""Reads the images of an .npz file of arrays into memory, as PNG. The format is for datasets of small images."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from kapps._local_paths import local_path
from kapps.data.array_files import read_arrays
from kapps.data.errors import DataError
from kapps.data.image.record_labels import MAX_CLASSES
from kapps.data.image.source import Source
from kapps.data.image.splits import select_split
from kapps.data.image.tfrecord import check_images

_SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class NpzImages:
    """The images of an .npz file.

    Args:
        class_names: names of the classes, in the order of their numbers.
        arrays: {"train": (images, class numbers), "test": (images, class numbers)}.
        notes: what was recognised in the labels.
    """

    class_names: tuple[str, ...]
    arrays: dict[str, tuple[np.ndarray, np.ndarray]]
    notes: tuple[str, ...]


def open_npz(path: str | os.PathLike, split: str) -> Source:
    """Opens an .npz file of the arrays x_train, y_train, x_test and y_test.

    Args:
        path: the file. x is uint8 [n, height, width] or [n, height, width, channels]; y is int [n] or [n, 1], or the
            names of the classes.
        split: "train", "test" or "validation", which is the test split.

    Raises:
        DataError: the file cannot be read, an array is missing or has another shape or type, or the labels are not
            class numbers from 0.
    """
    path = os.fspath(local_path(path))
    content = read_npz(path)
    split = select_split(split, content.arrays, path)
    images, labels = content.arrays[split]
    try:
        check_images(images, labels, content.class_names, split)
    except DataError as error:
        raise DataError(f"{path}: x_{split}: {error}") from None
    if images.ndim == 3:
        images = images[..., None]
    # The fastest compression takes a third of the time of the default, and 3 % more memory on MNIST.
    encoded = tf.data.Dataset.from_tensor_slices(images).map(
        lambda image: tf.io.encode_png(image, compression=1), tf.data.AUTOTUNE
    )
    encoded = encoded.batch(len(images)).get_single_element().numpy()
    return Source(
        name=path,
        split=split,
        kind="archive",
        class_names=content.class_names,
        examples=len(images),
        bytes=sum(map(len, encoded)),
        files=tuple(f"{split} image {number}" for number in range(len(images))),
        labels=tuple(map(int, labels)),
        encoded=tuple(encoded),
        notes=content.notes,
        splits=_SPLITS,
    )


def read_npz(path: str | os.PathLike) -> NpzImages:
    """Returns the images and labels of an .npz file.

    Raises:
        DataError: as for `open_npz`, except that the images are not checked.
    """
    arrays = read_arrays(path, tuple(f"{x}_{split}" for split in _SPLITS for x in "xy"))
    labels = {split: _flat_labels(path, split, arrays[f"y_{split}"]) for split in _SPLITS}
    for split in _SPLITS:
        count = len(arrays[f"x_{split}"]) if arrays[f"x_{split}"].ndim else 0
        if count != len(labels[split]):
            raise DataError(
                f"{path}: x_{split} has {count:,} images and y_{split} {len(labels[split]):,} labels:"
                " save as many of each"
            )
    if any(array.dtype.kind in "US" for array in labels.values()):
        class_names, labels = _number_names(path, labels)
    else:
        class_names = tuple(map(str, range(_count_classes(path, labels))))
    unused = np.setdiff1d(np.arange(len(class_names)), labels["train"])
    notes = ()
    if unused.size:
        listed = ", ".join(class_names[number] for number in unused[:5])
        notes = (f"no training image has the class {listed}{', ...' * (unused.size > 5)}",)
    images = {split: (arrays[f"x_{split}"], labels[split]) for split in _SPLITS}
    return NpzImages(class_names, images, notes)


def _flat_labels(path, split: str, labels: np.ndarray) -> np.ndarray:
    """Returns labels [n] of [n] or [n, 1]."""
    name = f"{path}: y_{split} is {labels.dtype} {list(labels.shape)}"
    if labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)):
        raise DataError(
            f"{name}: save class numbers [n], for example with y.argmax(-1) of one-hot rows"
        )
    if labels.dtype.kind not in "iubUS":
        values = labels.reshape(-1)
        bad = np.flatnonzero(~np.isfinite(values)) if labels.dtype.kind == "f" else []
        reason = f" and label {bad[0]} is {values[bad[0]]}" if len(bad) else ""
        raise DataError(f"{name}{reason}: save integers from 0, for example with y.astype(int)")
    labels = labels.reshape(-1)
    return labels.astype("uint8") if labels.dtype.kind == "b" else labels


def _number_names(path, labels) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Returns the class names, sorted, and class numbers of labels that are names."""
    names = {}
    for split, array in labels.items():
        if array.dtype.kind not in "US":
            raise DataError(
                f"{path}: y_{split} is {array.dtype} and the other split has names: save both alike"
            )
        try:
            names[split] = [
                name.decode() if isinstance(name, bytes) else name for name in array.tolist()
            ]
        except UnicodeDecodeError:
            raise DataError(f"{path}: a name in y_{split} is not UTF-8: save strings") from None
    class_names = sorted(set(names["train"]))
    numbers = {name: number for number, name in enumerate(class_names)}
    for name in names["test"]:
        if name not in numbers:
            raise DataError(f"{path}: no training image has the class {name!r} of y_test")
    if len(class_names) > MAX_CLASSES:
        raise DataError(
            f"{path}: y_train has {len(class_names):,} names: kapps reads {MAX_CLASSES:,}"
        )
    return tuple(class_names), {
        split: np.array([numbers[name] for name in values], "int64")
        for split, values in names.items()
    }


def _count_classes(path, labels) -> int:
    """Returns the number of classes: the largest label plus one.

    Raises:
        DataError: the labels are not class numbers from 0 without large gaps.
    """
    values = np.unique(
        np.concatenate([np.unique(labels[split]).astype(object) for split in _SPLITS])
    )
    if not values.size:
        raise DataError(f"{path} holds no images")
    images = sum(map(len, labels.values()))
    smallest, classes = int(values[0]), int(values[-1]) + 1
    limit = min(MAX_CLASSES, images)
    reason = None
    if smallest < 0:
        reason = "a label is negative"
    elif classes > limit:
        reason = f"{images:,} images have at most {limit:,} classes"
    elif smallest == 1 and len(values) == classes - 1 > 1:
        reason = "no image has the label 0"
    elif 2 * len(values) < classes:
        reason = f"only {len(values):,} of these numbers occur"
    if reason:
        raise DataError(
            f"{path}: the labels are {smallest}..{classes - 1}, and {reason}: number the classes 0, 1, 2, ..., for"
            " example with np.unique(y, return_inverse=True)"
        )
    return classes

"""Reads the images of a dataset that TFDS prepared.

kapps reads the TFRecord files itself, because TFDS's `as_dataset` cannot shuffle with a different seed in each epoch.
"""

import os

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image.record_files import inspect_records
from kapps.data.image.source import Source
from kapps.data.image.splits import select_split
from kapps.data.tfds_builder import load_tfds_builder


def open_tfds(dataset: str | None, data_dir: str | os.PathLike | None, split: str) -> Source:
    """Opens the images of a TFDS dataset.

    Args:
        dataset: name in TFDS, or `None` for the prepared dataset in `data_dir`.
        data_dir: directory where TFDS keeps its datasets. `None` is TFDS's default.
        split: "train", "validation", or one of the dataset's, optionally with a slice: "train[:10%]".

    Raises:
        DataError: the dataset has no uint8 "image" and class "label", lacks the split or a file, or is not stored as
            TFRecord.
    """
    builder = load_tfds_builder(dataset, data_dir)
    name = dataset or os.fspath(data_dir)
    class_names = _class_names(builder.info.features, name)
    return Source(kind="tfds", class_names=class_names, **read_tfds_split(builder, name, split))


def read_tfds_split(builder, name: str, split: str) -> dict:
    """Returns the fields of a `Source` of a TFDS dataset that do not depend on its features.

    Args:
        builder: a `tfds.core.DatasetBuilder`.
        name: of the dataset, for errors.
        split: the requested split.

    Raises:
        DataError: the dataset lacks the split or a file, or is not stored as TFRecord.
    """
    split_name, bracket, section = split.partition("[")
    split = select_split(split_name, builder.info.splits, name) + bracket + section
    try:
        split_info = builder.info.splits[split]
        instructions = split_info.file_instructions
    except ValueError as error:
        raise DataError(f"{name} has no split {split!r}: {str(error).splitlines()[0]}") from None
    if not split_info.num_examples:
        raise DataError(f"split {split!r} of {name} is empty")
    file_format = str(builder.info.file_format.value)
    if file_format != "tfrecord":
        raise DataError(f"{name} is stored as {file_format}: prepare it as tfrecord")
    paths = tuple(os.fspath(instruction.filename) for instruction in instructions)
    for path in paths:
        if not tf.io.gfile.exists(path):
            raise DataError(f"shard {path} of {name} is missing: prepare the dataset again")
    local = [inspect_records(path) for path in paths if os.path.isfile(path)]
    return {
        "name": name,
        "split": split,
        "splits": tuple(builder.info.splits),
        "examples": split_info.num_examples,
        "bytes": sum(tf.io.gfile.stat(path).length for path in set(paths)),
        "files": paths,
        "ranges": tuple((instruction.skip, instruction.take) for instruction in instructions),
        "root": os.fspath(builder.data_dir),
        "compressions": tuple(file.compression for file in local)
        if len(local) == len(paths)
        else (),
    }


def _class_names(features, name: str) -> tuple[str, ...]:
    """Returns the names of the classes of "label", if "image" is uint8 [height, width, channels]."""
    try:
        image, class_names = features["image"], tuple(features["label"].names)
        usable = np.dtype(image.np_dtype) == np.uint8 and len(image.shape) == 3
    except (KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise DataError(
            f"{name} has features {', '.join(features or ())}:"
            ' kapps needs "image" (uint8) and "label" (classes)'
        )
    return class_names

"""Writes TFRecord shards of encoded images.

A directory of shards holds `<split>-00000-of-00002.tfrecord`, ... and `labels.txt`, with one class name per line. A
record is a `tf.train.Example` with "image" (an encoded image) and "label" (a class number from 0). TFDS writes the
same records for image classification. `kapps.data.image.shards` reads these shards and those of other programs.

`python -m kapps.data.image.npz_to_tfrecord` converts an .npz file, `python -m kapps.data.records` all other images.
"""

import contextlib
import os
import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps._arrays import as_array
from kapps._files import write_atomically
from kapps._local_paths import local_path
from kapps.data.errors import DataError, checked_data
from kapps.data.image.record_labels import LABELS, find_labels
from kapps.data.image.shard_names import split_of
from kapps.data.text_files import check_class_names, read_class_names

_SPLIT = re.compile(r"[A-Za-z]\w*")


@checked_data
def write_tfrecords(
    images: np.ndarray | Sequence[bytes],
    labels: Sequence[int] | np.ndarray,
    class_names: Sequence[str],
    directory: str | os.PathLike,
    split: str,
    shards: int = 1,
) -> list[str]:
    """Writes images to TFRecord shards, and the class names to labels.txt.

    Each file is written under a temporary name and renamed when all are complete, so that an interrupted run leaves
    no incomplete shard.

    Args:
        images: uint8 [n, height, width] or [n, height, width, 1, 3 or 4], which are stored as PNG, or n encoded images.
        labels: n class numbers in [0, len(class_names)).
        class_names: names of the classes, in the order of their numbers.
        directory: where to write. It is created if it does not exist.
        split: prefix of the files: "train", "validation" or "test", for example.
        shards: number of files. Consecutive images go to consecutive files.

    Returns:
        The paths of the shards.

    Raises:
        DataError: images and labels do not match, or the directory holds other data.
    """
    directory = os.fspath(local_path(directory, "directory"))
    labels = as_array("labels", labels, error=DataError)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"labels have the shape {labels.shape} and dtype {labels.dtype}, not integers [images]"
        )
    check_class_names(class_names, "class_names")
    check_images(images, labels, class_names, split, shards)
    os.makedirs(directory, exist_ok=True)
    names = name_shards(split, shards)
    check_directory(directory, names, split, class_names)
    paths = [os.path.join(directory, name) for name in names]
    with contextlib.ExitStack() as complete:  # renames the files when all are complete
        for shard, path in enumerate(paths):
            temporary = complete.enter_context(write_atomically(path))
            with tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
                for index in range(shard, len(images), shards):
                    writer.write(serialize(images[index], int(labels[index])))
        temporary = complete.enter_context(write_atomically(os.path.join(directory, LABELS)))
        temporary.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
    return paths


def check_images(images, labels, class_names, split: str, shards: int = 1) -> None:
    """Raises `DataError` for images, labels or names that `write_tfrecords` cannot write."""
    if len(images) != len(labels) or len(images) == 0:
        raise DataError(
            f"{len(images)} images and {len(labels)} labels: pass as many of each, and at least one"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise DataError(
            f"labels are {labels.dtype} {list(labels.shape)}: pass integers, one per image"
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            f"labels are in {labels.min()}..{labels.max()},"
            f" but there are names for {len(class_names)} classes"
        )
    if isinstance(images, np.ndarray) and (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or (images.ndim == 4 and images.shape[-1] not in (1, 3, 4))
        or 0 in images.shape
    ):
        raise DataError(
            f"images are {images.dtype} {list(images.shape)}:"
            " pass uint8 [n, height, width] or [n, height, width, channels]"
        )
    if not _SPLIT.fullmatch(split) or shards < 1:
        raise DataError(f"split {split!r} in {shards} shards: pass a word, and at least one shard")


def name_shards(split: str, shards: int) -> list[str]:
    """Returns the names of the shards of a split."""
    return [f"{split}-{shard:05d}-of-{shards:05d}.tfrecord" for shard in range(shards)]


def check_directory(
    directory: str, names: Sequence[str], split: str, class_names: Sequence[str]
) -> None:
    """Raises `DataError` if the directory holds other shards of the split, or other classes."""
    existing = os.listdir(directory)
    for name in existing:
        if split_of(name) == split_of(names[0]) and name not in names:
            raise DataError(
                f"{directory} holds other {split!r} shards, such as {name}: delete them first"
            )
    path = find_labels(directory)
    if path and read_class_names(path) != tuple(class_names):
        raise DataError(f"{path} names other classes: choose another directory")


def serialize(image: np.ndarray | bytes, label: int) -> bytes:
    """Returns a record of an image, which is encoded as PNG if it is an array, and its class number."""
    if isinstance(image, np.ndarray):
        image = tf.io.encode_png(image[..., None] if image.ndim == 2 else image).numpy()
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

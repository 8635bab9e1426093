"""TFRecord shards of encoded images: writing, finding, counting and parsing them.

A directory of shards holds `<split>-00000-of-00002.tfrecord`, ... and `labels.txt`, with one class name per line. A
record is a `tf.train.Example` with "image" (an encoded image) and "label" (a class number from 0). TFDS writes the
same records for image classification, so that kapps parses both.

`python -m kapps.data.image.npz_to_tfrecord` converts an .npz file.
"""

import contextlib
import os
import re
import struct
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps._files import write_atomically
from kapps.data.errors import DataError
from kapps.data.text_files import read_class_names

LABELS = "labels.txt"
SHARD = re.compile(r"(?P<split>[A-Za-z]\w*)-(?P<shard>\d{5})-of-(?P<shards>\d{5})\.tfrecord")
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}
_CRC = 4  # bytes of the checksum after the length of a record, and after its content


def parse_record(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (encoded image, class number) of a serialized record: string [] and int64 []."""
    example = tf.io.parse_single_example(record, _FEATURES)
    return example["image"], example["label"]


def count_records(path: str) -> int:
    """Returns the number of records of a shard. Only the lengths of the records are read.

    Raises:
        DataError: the file cannot be opened or does not end with a complete record.
    """
    count = position = 0
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            while position < size:
                file.seek(position)
                header = file.read(8)
                if len(header) < 8:
                    break
                position += 8 + _CRC + struct.unpack("<Q", header)[0] + _CRC
                count += 1
    except OSError as error:
        raise DataError(f"shard {path} cannot be read: {error.strerror}") from None
    if position != size:
        raise DataError(
            f"shard {path} cannot be read: it is truncated or not a TFRecord file;"
            " write or download it again"
        )
    return count


def find_shards(directory: str) -> dict[str, list[str]]:
    """Returns {split: paths of its shards in order}; {} if the directory has none.

    Raises:
        DataError: a shard of a split is missing, or the directory holds two sets of shards of a split.
    """
    matches_by_split: dict[str, list[re.Match]] = {}
    for name in sorted(os.listdir(directory)):
        if match := SHARD.fullmatch(name):
            matches_by_split.setdefault(match["split"], []).append(match)
    for split, matches in matches_by_split.items():
        counts = {int(match["shards"]) for match in matches}
        if len(counts) > 1:
            raise DataError(
                f"{directory} holds two sets of {split!r} shards, of {sorted(counts)}:"
                " delete one of them"
            )
        missing = set(range(counts.pop())) - {int(match["shard"]) for match in matches}
        if missing:
            shards = matches[0]["shards"]
            raise DataError(
                f"{directory} lacks {split}-{min(missing):05d}-of-{shards}.tfrecord"
                f" ({len(missing)} of {int(shards)} shards missing): write or download it again"
            )
    return {
        split: [os.path.join(directory, match.string) for match in matches]
        for split, matches in matches_by_split.items()
    }


def read_labels(directory: str) -> tuple[str, ...]:
    """Returns the class names of a directory of shards.

    Raises:
        DataError: labels.txt is missing, empty or not text.
    """
    path = os.path.join(directory, LABELS)
    if not os.path.isfile(path):
        raise DataError(
            f"{directory} holds shards but no {LABELS}: write one class name per line to {path}"
        )
    return read_class_names(path)


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
    directory, labels = os.fspath(directory), np.asarray(labels)
    check_images(images, labels, class_names, split, shards)
    os.makedirs(directory, exist_ok=True)
    names = [f"{split}-{shard:05d}-of-{shards:05d}.tfrecord" for shard in range(shards)]
    _check_directory(directory, names, split, class_names)
    paths = [os.path.join(directory, name) for name in names]
    with contextlib.ExitStack() as complete:  # renames the files when all are complete
        for shard, path in enumerate(paths):
            temporary = complete.enter_context(write_atomically(path))
            with tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
                for index in range(shard, len(images), shards):
                    writer.write(_serialize(images[index], int(labels[index])))
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
    ):
        raise DataError(
            f"images are {images.dtype} {list(images.shape)}:"
            " pass uint8 [n, height, width] or [n, height, width, channels]"
        )
    if not SHARD.fullmatch(f"{split}-00000-of-00001.tfrecord") or shards < 1:
        raise DataError(f"split {split!r} in {shards} shards: pass a word, and at least one shard")


def _check_directory(directory, names, split, class_names) -> None:
    """Raises `DataError` if the directory holds other shards of the split, or other classes."""
    existing = os.listdir(directory)
    for name in existing:
        match = SHARD.fullmatch(name)
        if match and match["split"] == split and name not in names:
            raise DataError(
                f"{directory} holds other {split!r} shards, such as {name}: delete them first"
            )
    if LABELS in existing and read_labels(directory) != tuple(class_names):
        raise DataError(f"{directory}/{LABELS} names other classes: choose another directory")


def _serialize(image: np.ndarray | bytes, label: int) -> bytes:
    if isinstance(image, np.ndarray):
        image = tf.io.encode_png(image[..., None] if image.ndim == 2 else image).numpy()
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

"""TFRecord shards of encoded images: writing, counting, parsing.

A directory of shards holds `<split>-00000-of-00002.tfrecord`, ... and `labels.txt`, one class name
a line. A record is a `tf.train.Example` with "image" (an encoded image) and "label" (a class
number from 0): what TFDS writes for an image classification data set too, so that one parser reads
both.

    python -m kapps.data.records fashion_mnist.npz data/fashion_mnist
"""

import argparse
import contextlib
import os
import re
import struct
import sys
import zipfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps._files import write_atomically
from kapps.data.faults import DataError

LABELS = "labels.txt"
SHARD = re.compile(r"(?P<split>[A-Za-z]\w*)-(?P<shard>\d{5})-of-(?P<shards>\d{5})\.tfrecord")
_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}
_ARRAYS = {"x_train", "y_train", "x_test", "y_test"}
_CRC = 4  # bytes of the checksum after a record's length, and after its content


def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (encoded image, class number) of one serialized record: string [] and int64 []."""
    example = tf.io.parse_single_example(record, _FEATURES)
    return example["image"], example["label"]


def count(shard: str) -> int:
    """Returns how many records a shard holds, from the records' lengths alone.

    Raises:
        DataError: where the file cannot be opened or does not end with a whole record.
    """
    records = position = 0
    try:
        size = os.path.getsize(shard)
        with open(shard, "rb") as file:
            while position < size:
                file.seek(position)
                header = file.read(8)
                if len(header) < 8:
                    break
                position += 8 + _CRC + struct.unpack("<Q", header)[0] + _CRC
                records += 1
    except OSError as error:
        raise DataError(f"shard {shard} cannot be read: {error.strerror}") from None
    if position != size:
        raise DataError(
            f"shard {shard} cannot be read: it is truncated or no TFRecord file;"
            " write or download it again"
        )
    return records


def find(directory: str) -> dict[str, list[str]]:
    """Returns the shards of a directory by split, in order; {} where there are none.

    Raises:
        DataError: where a split lacks a shard, or mixes two sets of them.
    """
    found: dict[str, list[re.Match]] = {}
    for name in sorted(os.listdir(directory)):
        if match := SHARD.fullmatch(name):
            found.setdefault(match["split"], []).append(match)
    for split, matches in found.items():
        counts = {int(match["shards"]) for match in matches}
        if len(counts) > 1:
            raise DataError(
                f"{directory} holds two sets of {split!r} shards, of {sorted(counts)}:"
                " delete one of them"
            )
        missing = set(range(counts.pop())) - {int(match["shard"]) for match in matches}
        if missing:
            last = matches[0]["shards"]
            raise DataError(
                f"{directory} lacks {split}-{min(missing):05d}-of-{last}.tfrecord"
                f" ({len(missing)} of {int(last)} shards missing): write or download it again"
            )
    return {
        split: [os.path.join(directory, match.string) for match in matches]
        for split, matches in found.items()
    }


def read_labels(directory: str) -> tuple[str, ...]:
    """Returns the class names of a directory of shards.

    Raises:
        DataError: where labels.txt is missing or empty.
    """
    path = os.path.join(directory, LABELS)
    if not os.path.isfile(path):
        raise DataError(
            f"{directory} holds shards but no {LABELS}: write one class name a line to {path}"
        )
    with open(path, encoding="utf-8") as file:
        names = tuple(line.strip() for line in file if line.strip())
    if not names:
        raise DataError(f"{path} is empty: write one class name a line to it")
    return names


def write_records(
    images: np.ndarray | Sequence[bytes],
    labels: Sequence[int] | np.ndarray,
    class_names: Sequence[str],
    directory: str | os.PathLike,
    split: str,
    shards: int = 1,
) -> list[str]:
    """Writes images to TFRecord shards and the class names to labels.txt.

    Every file is written aside and renamed when whole, so that an interrupted run leaves no half
    shard.

    Args:
        images: uint8 [n, h, w] or [n, h, w, 1, 3 or 4], which are stored as PNG, or n encoded
            images.
        labels: n class numbers in [0, len(class_names)).
        class_names: the classes' names, in order.
        directory: where to write; made where it is missing.
        split: "train", "validation" or "test", say: the files' prefix.
        shards: how many files to spread the images over, in turn.

    Returns:
        The shards' paths.

    Raises:
        DataError: for images and labels that do not fit each other, or a directory with other
            data in it.
    """
    directory, labels = os.fspath(directory), np.asarray(labels)
    check(images, labels, class_names, split, shards)
    os.makedirs(directory, exist_ok=True)
    names = [f"{split}-{shard:05d}-of-{shards:05d}.tfrecord" for shard in range(shards)]
    present = os.listdir(directory)
    others = [
        n for n in present if (m := SHARD.fullmatch(n)) and m["split"] == split and n not in names
    ]
    if others:
        raise DataError(
            f"{directory} holds other {split!r} shards, such as {others[0]}: delete them first"
        )
    if LABELS in present and read_labels(directory) != tuple(class_names):
        raise DataError(f"{directory}/{LABELS} names other classes: choose another directory")
    paths = [os.path.join(directory, name) for name in names]
    with contextlib.ExitStack() as whole:  # nothing is renamed before all is written
        for shard, path in enumerate(paths):
            written = whole.enter_context(write_atomically(path))
            with tf.io.TFRecordWriter(os.fspath(written)) as writer:
                for index in range(shard, len(images), shards):
                    writer.write(_example(images[index], int(labels[index])))
        named = whole.enter_context(write_atomically(os.path.join(directory, LABELS)))
        named.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
    return paths


def check(images, labels, class_names, split, shards=1) -> None:
    """Refuses, by `DataError`, what `write_records` cannot write."""
    if len(images) != len(labels) or len(images) == 0:
        raise DataError(
            f"{len(images)} images and {len(labels)} labels: as many of each, and at least one"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise DataError(
            f"labels are {labels.dtype} {list(labels.shape)}: give whole numbers, one an image"
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            f"labels lie in {labels.min()}..{labels.max()},"
            f" but {len(class_names)} classes are named"
        )
    if isinstance(images, np.ndarray) and (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or (images.ndim == 4 and images.shape[-1] not in (1, 3, 4))
    ):
        raise DataError(
            f"images are {images.dtype} {list(images.shape)}:"
            " give uint8 [n, h, w] or [n, h, w, channels]"
        )
    if not SHARD.fullmatch(f"{split}-00000-of-00001.tfrecord") or shards < 1:
        raise DataError(f"split {split!r} in {shards} shards: give a word, and at least one shard")


def _example(image, label: int) -> bytes:
    if isinstance(image, np.ndarray):
        image = tf.io.encode_png(image[..., None] if image.ndim == 2 else image).numpy()
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def read_arrays(path: str | os.PathLike) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns images and labels by split, "train" and "test", of an .npz file.

    Raises:
        DataError: for a file that cannot be read, or that lacks x_train, y_train, x_test or y_test.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if missing := _ARRAYS - set(arrays):
                raise DataError(
                    f"{path} holds {', '.join(arrays)}:"
                    f" x_train, y_train, x_test and y_test are needed, and {min(missing)} is missing"
                )
            return {
                split: (arrays[f"x_{split}"], arrays[f"y_{split}"].reshape(-1))
                for split in ("train", "test")
            }
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no readable .npz file: {str(error).splitlines()[0]}") from None


def classes(data: dict[str, tuple[np.ndarray, np.ndarray]]) -> int:
    """Returns how many classes the labels of `read_arrays` name: one more than the greatest."""
    return int(max(labels.max(initial=0) for _, labels in data.values())) + 1


def _convert(path: str, directory: str, shards: int) -> None:
    data = read_arrays(path)
    names = [str(number) for number in range(classes(data))]
    for split, (images, labels) in data.items():
        write_records(images, labels, names, directory, split, shards)
        print(
            f"{directory}: {len(images):,} {split} images in {shards} shards, {len(names)} classes"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Turns an .npz file with x_train, y_train, x_test and y_test into shards of images."""
    parser = argparse.ArgumentParser(prog="python -m kapps.data.records", description=main.__doc__)
    parser.add_argument("npz", help="file with x_train, y_train, x_test, y_test; images are uint8")
    parser.add_argument("directory", help="where the shards go")
    parser.add_argument(
        "--shards", type=int, default=4, help="shards a split (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        _convert(options.npz, options.directory, options.shards)
    except DataError as error:
        sys.exit(f"kapps.data.records: {error}")


if __name__ == "__main__":
    main()

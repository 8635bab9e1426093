"""Reads the images of a directory of TFRecord shards."""

import os

import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image import tfrecord
from kapps.data.image.source import Source, select_split


def open_shards(directory: str | os.PathLike, split: str, name: str = "") -> Source:
    """Opens a directory of TFRecord shards with labels.txt, as `write_tfrecords` writes it.

    Args:
        directory: the directory.
        split: "train", "validation", or another of the directory's.
        name: name of the dataset. The default is the directory.

    Raises:
        DataError: the split, a shard or labels.txt is missing, or a shard is corrupt, empty or holds other records.
    """
    directory = os.fspath(directory)
    name = name or directory
    shards = tfrecord.find_shards(directory)
    split = select_split(split, shards, name)
    class_names = tfrecord.read_labels(directory)
    counts = [tfrecord.count_records(path) for path in shards[split]]
    if not sum(counts):
        raise DataError(f"the {split!r} shards of {name} are empty: write them again")
    _parse_first_record(shards[split][counts.index(max(counts))])
    return Source(
        name=name,
        split=split,
        kind="records",
        class_names=class_names,
        examples=sum(counts),
        bytes=sum(map(os.path.getsize, shards[split])),
        files=tuple(shards[split]),
        ranges=tuple((0, count) for count in counts),
        root=directory,
    )


def _parse_first_record(path: str) -> None:
    """Raises `DataError` if the first record of a shard cannot be parsed."""
    try:
        for record in tf.data.TFRecordDataset(path).take(1):
            tfrecord.parse_record(record)
    except tf.errors.DataLossError:
        raise DataError(f"shard {path} cannot be read: it is corrupt; write it again") from None
    except tf.errors.OpError:
        raise DataError(
            f"shard {path} holds other records:"
            ' kapps reads examples with "image" (bytes) and "label" (int64)'
        ) from None

"""Reads the images of a directory of TFRecord shards."""

import os

import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image.record_files import RecordFile, inspect_records
from kapps.data.image.record_formats import record_format
from kapps.data.image.record_labels import resolve_classes
from kapps.data.image.shard_names import SPLITS, find_shards
from kapps.data.image.source import Source
from kapps.data.image.splits import select_split


def open_shards(directory: str | os.PathLike, split: str, name: str = "") -> Source:
    """Opens a directory of TFRecord shards.

    The names of the shards are those of `kapps.data.image.shard_names`, the features of the records those of
    `kapps.data.image.record_formats`. The shards may be compressed by GZIP or ZLIB. The class names are in labels.txt,
    or in the records as Google's scripts write them.

    Args:
        directory: the directory.
        split: "train", "validation", or another of the directory's.
        name: name of the dataset. The default is the directory.

    Raises:
        DataError: the split, a shard or labels.txt is missing, or a shard is corrupt, empty or holds other records.
    """
    directory = os.fspath(directory)
    fields, files, selected = read_shards(directory, split, name)
    records = record_format(*first_record(selected))
    first = sorted(files, key=lambda key: key != "train")  # "train" decides if all are too many
    records, class_names, note = resolve_classes(
        directory, records, [file for key in first for file in files[key] if file.records]
    )
    return Source(
        kind="records", class_names=class_names, record_format=records,
        notes=(note,) if note else (), **fields,
    )  # fmt: skip


def read_shards(
    directory: str, split: str, name: str = ""
) -> tuple[dict, dict[str, list[RecordFile]], list[RecordFile]]:
    """Returns the fields of a `Source` of shards that do not depend on their records, and the shards.

    Args:
        directory, split, name: as for `open_shards`.

    Returns:
        (fields, {split: its shards}, the shards of the split).

    Raises:
        DataError: the split or a shard is missing, or a shard is corrupt or empty.
    """
    name = name or directory
    shards = find_shards(directory)
    if not set(shards) & {*SPLITS, split}:
        path = next(iter(shards.values()))[0]
        raise DataError(
            f"{name} has TFRecord files such as {os.path.basename(path)}, and none is for a split:"
            " rename them to train-00000-of-00001.tfrecord and validation-00000-of-00001.tfrecord"
        )
    split = select_split(split, shards, name)
    files = {key: [inspect_records(path) for path in paths] for key, paths in shards.items()}
    selected = files[split]
    examples = sum(file.records for file in selected)
    if not examples:
        raise DataError(f"the {split!r} shards of {name} are empty: write them again")
    fields = {
        "name": name,
        "split": split,
        "examples": examples,
        "bytes": sum(file.bytes for file in selected),
        "files": tuple(file.path for file in selected),
        "ranges": tuple((0, file.records) for file in selected),
        "root": directory,
        "compressions": tuple(file.compression for file in selected),
        "splits": tuple(shards),
    }
    return fields, files, selected


def first_record(files: list[RecordFile]) -> tuple[bytes, str]:
    """Returns the first record of the shards, and the path of its shard."""
    file = next(file for file in files if file.records)
    try:
        return next(iter(file.dataset())).numpy(), file.path
    except tf.errors.OpError:
        raise DataError(
            f"shard {file.path}, record 0: it is corrupt; write or download it again"
        ) from None

"""Images from TFDS, a folder of class folders, TFRecord shards, or one .npz or .zip file.

All end as one thing: a `Source`, whose `images()` are (name, encoded image, class
number).
"""

import dataclasses
import os
from collections.abc import Iterable
from importlib import resources

import tensorflow as tf

from kapps.cards import nearest
from kapps.data import records
from kapps.data.faults import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
EVALUATION = ("validation", "val", "test")
"""Splits that serve for evaluation, in the order in which they are looked for."""
Encoded = tuple[bytes, ...]  # said here, for in `Source` the name `bytes` is a field
_SHARDS_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Source:
    """Labelled images, still encoded.

    Args:
        name: the data set's name, or its directory.
        split: the split that was found: "test" where "validation" was asked for and there is none.
        kind: "folder", "records", "tfds" or "archive".
        class_names: the classes, in the order of their numbers.
        examples: how many images.
        bytes: size of all encoded images together.
        files: the images of a folder, or the shards; of an archive the images' names.
        labels: the class number of each of a folder's or an archive's images; () for shards.
        ranges: for shards, which records are of this split: (first, how many) a shard.
        root: the directory that names are told relative to.
        encoded: the images of an archive, () elsewhere.
    """

    name: str
    split: str
    kind: str
    class_names: tuple[str, ...]
    examples: int
    bytes: int = dataclasses.field(repr=False)
    files: tuple[str, ...] = dataclasses.field(repr=False)
    labels: tuple[int, ...] = dataclasses.field(default=(), repr=False)
    ranges: tuple[tuple[int, int], ...] = dataclasses.field(default=(), repr=False)
    root: str = ""
    encoded: Encoded = dataclasses.field(default=(), repr=False)

    @property
    def shards(self) -> tuple[str, ...]:
        """The TFRecord files, () for images that lie in none."""
        return self.files if self.kind in ("records", "tfds") else ()

    def images(self, seed: tf.Tensor | None = None) -> tf.data.Dataset:
        """Returns the data set of (name, encoded, label): string [], string [], int64 [].

        Args:
            seed: int64 []; where given, the files are visited in a random order that it settles:
                all images of a folder, or whole shards, whose records stay in order.
        """
        files = tf.data.Dataset.from_tensor_slices(self._files())
        if seed is not None:
            files = files.shuffle(len(self.files), seed=seed, reshuffle_each_iteration=False)
        if self.kind == "archive":
            return files
        if self.kind == "folder":
            return files.map(
                lambda file, name, label: (name, tf.io.read_file(file), label),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
        return files.interleave(
            self._shard,
            cycle_length=min(_SHARDS_AT_ONCE, len(self.files)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _files(self) -> tuple[tf.Tensor, ...]:
        if self.kind == "archive":
            return (
                tf.constant(self.files),
                tf.constant(self.encoded),
                tf.constant(self.labels, tf.int64),
            )
        names = [os.path.relpath(file, self.root).replace(os.sep, "/") for file in self.files]
        if self.kind == "folder":
            return tf.constant(self.files), tf.constant(names), tf.constant(self.labels, tf.int64)
        first, many = zip(*self.ranges, strict=True)
        return (
            tf.constant(self.files),
            tf.constant(names),
            tf.constant(first, tf.int64),
            tf.constant(many, tf.int64),
        )

    def _shard(self, file, name, first, many) -> tf.data.Dataset:
        def image(number, record):
            encoded, label = records.parse(record)
            classes = len(self.class_names)
            tf.debugging.Assert(
                (label >= 0) & (label < classes),
                [_say(f" has a label that is not in 0..{classes - 1}", name, number)],
            )
            return (
                tf.strings.join([name, ", record ", tf.strings.as_string(number)]),
                encoded,
                label,
            )

        shard = tf.data.TFRecordDataset(file).enumerate()
        return shard.skip(first).take(many).map(image)


def _say(what: str, name, number) -> tf.Tensor:
    return tf.strings.join(["DataError: record ", tf.strings.as_string(number), " of ", name, what])


def open_source(
    dataset: str | None = None, data_dir: str | os.PathLike | None = None, split: str = "train"
) -> Source:
    """Opens labelled images.

    Args:
        dataset: "digits", which ships with kapps; a TFDS name such as "fashion_mnist" or
            "mnist:3.0.1", which is prepared (and downloaded, where it must be) under `data_dir`; or
            None for `data_dir` itself.
        data_dir: without `dataset`, a directory that TFDS prepared, one of TFRecord shards with
            labels.txt (see `kapps.data.records`), or one of class folders,
            `data_dir/train/daisy/1.jpg`, or without splits `data_dir/daisy/1.jpg`; or a .zip file of
            such folders, or an .npz file with x_train, y_train, x_test and y_test. With it, TFDS's
            own.
        split: "train"; "validation", for which "val" and then "test" serve too; or another of the
            source's. Of class folders without splits, about a fifth of each class is held out as
            "validation", which all three names mean. An image's side follows from its name in
            `data_dir` alone, "daisy/1.jpg", so that images which are added move no other one.

    Raises:
        DataError: for anything that cannot be read, in one line.
    """
    from kapps.data import archives, folders, prepared  # which need this module

    if dataset == "digits":
        return _records(os.fspath(resources.files("kapps.data") / "digits"), split, name="digits")
    if dataset:
        return prepared.open_prepared(dataset, data_dir, split)
    if not data_dir:
        raise DataError("no data: give the name of a data set, such as digits, or a directory")
    directory = os.path.abspath(os.path.expanduser(os.fspath(data_dir)))
    if os.path.isfile(directory):
        return archives.open_archive(directory, split)
    if not os.path.isdir(directory):
        raise DataError(f"data directory {data_dir} does not exist: give one that holds images")
    if os.path.isfile(os.path.join(directory, "dataset_info.json")):
        return prepared.open_prepared(None, directory, split)
    if records.find(directory):
        return _records(directory, split)
    return folders.open_folder(directory, split)


def pick(split: str, splits: Iterable[str], where: str) -> str:
    """Returns the one of `splits` that serves as `split`; raises `DataError` where none does."""
    splits = list(splits)
    for choice in (split, *(EVALUATION if split in EVALUATION[:2] else ())):
        if choice in splits:
            return choice
    raise DataError(
        f"{where} has no split {split!r}: it has {', '.join(splits) or 'none'}."
        f"{nearest(split, splits)}"
    )


def _records(directory: str, split: str, name: str = "") -> Source:
    shards = records.find(directory)
    split = pick(split, shards, name or directory)
    class_names = records.read_labels(directory)
    counts = [records.count(shard) for shard in shards[split]]
    if not sum(counts):
        raise DataError(f"the {split!r} shards of {name or directory} are empty: write them again")
    first = shards[split][counts.index(max(counts))]
    try:
        for record in tf.data.TFRecordDataset(first).take(1):
            records.parse(record)
    except tf.errors.DataLossError:
        raise DataError(f"shard {first} cannot be read: it is damaged; write it again") from None
    except tf.errors.OpError:
        raise DataError(
            f"shard {first} holds other records:"
            ' kapps reads examples with "image" (bytes) and "label" (int64)'
        ) from None
    return Source(
        name=name or directory,
        split=split,
        kind="records",
        class_names=class_names,
        examples=sum(counts),
        bytes=sum(map(os.path.getsize, shards[split])),
        files=tuple(shards[split]),
        ranges=tuple((0, n) for n in counts),
        root=directory,
    )

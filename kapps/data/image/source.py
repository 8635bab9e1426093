"""`Source`: a dataset of labelled, encoded images, whichever reader opened it."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image.listing import count_reasons
from kapps.data.image.record_files import inspect_records
from kapps.data.image.record_formats import RecordFormat, find_problem
from kapps.data.text_files import check_class_names, file_name_text

_PARALLEL_SHARDS = 16
_EncodedImages = tuple[bytes, ...]  # `Source` has a field named `bytes`


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset of labelled, encoded images.

    Args:
        name: name of the dataset, or its path.
        split: the split that was opened: "test" if "validation" was requested and does not exist.
        kind: "folder", "records", "tfds" or "archive".
        class_names: names of the classes, in the order of their numbers.
        examples: number of images.
        bytes: size of all encoded images.
        files: paths of the images ("folder") or of the shards ("records", "tfds"), or names of the images ("archive").
        labels: class number of each image ("folder", "archive"); () for shards.
        ranges: (first record, number of records) of this split in each shard; () without shards.
        root: directory that the names of images are relative to.
        encoded: the encoded images ("archive"); () for other kinds.
        compressions: "", "GZIP" or "ZLIB" of each shard; () if no shard is compressed.
        record_format: the features of the records of shards.
        notes: what was recognised in the data and changes what the numbers mean, such as labels that start at 1.
        splits: names of all splits.
        held_out: whether the dataset has no splits, and a part of it was held out for validation.
        left_out: (name, reason) of the files of the split that are not read, and of those outside of all splits.
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
    encoded: _EncodedImages = dataclasses.field(default=(), repr=False)
    compressions: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    record_format: RecordFormat = dataclasses.field(default=RecordFormat(), repr=False)
    notes: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    splits: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    held_out: bool = False
    left_out: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.kind == "folder":
            names = tuple(map(file_name_text, self.class_names))
            object.__setattr__(self, "class_names", names)  # the class is frozen
        check_class_names(self.class_names, self.name)

    @property
    def shards(self) -> tuple[str, ...]:
        """Paths of the TFRecord files; () if the images are stored otherwise."""
        return self.files if self.kind in ("records", "tfds") else ()

    def images(self, seed: tf.Tensor | None = None) -> tf.data.Dataset:
        """Returns a dataset of (name, encoded image, label): string [], string [], int64 [].

        Args:
            seed: int64 []. If it is given, the files are read in a random order that depends only on the seed. Images
                within a shard stay in order.
        """
        files = tf.data.Dataset.from_tensor_slices(self.file_tensors())
        if seed is not None:
            files = files.shuffle(len(self.files), seed=seed, reshuffle_each_iteration=False)
        if self.kind == "archive":
            return files
        if self.kind == "folder":
            return files.map(
                lambda path, name, label: (name, tf.io.read_file(path), label),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
        return files.interleave(
            self._read_shard,
            cycle_length=min(_PARALLEL_SHARDS, len(self.files)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def indices(self, seed: tf.Tensor | None = None) -> tf.data.Dataset:
        """Returns a dataset of the numbers of the images, int64 [], in the order of `images` with the same seed.

        An image of shards has the number of the images in the shards before its own, plus its place in the shard.
        """
        if not self.shards:
            numbers = tf.data.Dataset.range(self.examples)
            if seed is None:
                return numbers
            return numbers.shuffle(self.examples, seed=seed, reshuffle_each_iteration=False)
        counts = np.array([count for _, count in self.ranges])
        files = tf.data.Dataset.from_tensor_slices((np.cumsum(counts) - counts, counts))
        if seed is not None:
            files = files.shuffle(len(counts), seed=seed, reshuffle_each_iteration=False)
        return files.interleave(
            lambda first, count: tf.data.Dataset.range(first, first + count),
            cycle_length=min(_PARALLEL_SHARDS, len(counts)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def names(self) -> list[str]:
        """Returns the names of the images, by their index in `indices`."""
        column = self.file_tensors()[0 if self.kind == "archive" else 1]
        names = [name.decode(errors="backslashreplace") for name in column.numpy().tolist()]
        if not self.shards:
            return names
        return [
            f"{name}, record {number}"
            for name, (first, count) in zip(names, self.ranges, strict=True)
            for number in range(first, first + count)
        ]

    @tf.autograph.experimental.do_not_convert  # AutoGraph cannot convert `os.fsencode`, and prints a warning
    def file_tensors(self) -> tuple[tf.Tensor, ...]:
        """Returns what is known of each file before it is read.

        Returns:
            Of a folder (path, name, label), of an archive (name, encoded image, label), and of shards (path, name,
            compression, first record, number of records).
        """
        labels = self._label_tensor()
        if self.kind == "archive":
            return tf.constant(self.files), tf.constant(self.encoded), labels
        # As bytes: TensorFlow would encode a path in UTF-8, whatever the locale is.
        paths = tf.constant([os.fsencode(path) for path in self.files])
        names = [os.path.relpath(path, self.root).replace(os.sep, "/") for path in self.files]
        names = tf.constant([_printable(file_name_text(name)) for name in names])
        if self.kind == "folder":
            return paths, names, labels
        first, count = zip(*self.ranges, strict=True)
        compressions = tf.constant(self.compressions or [""] * len(paths))
        ranges = tf.constant(first, tf.int64), tf.constant(count, tf.int64)
        return paths, names, compressions, *ranges

    def record(self) -> dict:
        """Returns what is read and what is left out, of JSON's types, for `run.json`."""
        return {
            "source": self.name,
            "kind": self.kind,
            "split": self.split,
            "held_out": self.held_out,
            "splits": list(self.splits),
            "images": self.examples,
            "classes": len(self.class_names),
            "left_out": count_reasons(self.left_out),
            "notes": list(self.notes),
        }

    def find_problem(self) -> str | None:
        """Returns which shard or record cannot be read, or `None` if there is none. All shards are read."""
        for path in self.shards:
            try:
                problem = find_problem(inspect_records(path), self.record_format)
            except DataError as error:
                return str(error)
            if problem:
                return f"{problem} (dataset {self.name})"
        return None

    def _label_tensor(self) -> tf.Tensor:
        """Returns what belongs to each image of a folder or an archive."""
        return tf.constant(self.labels, tf.int64)

    def _read_shard(self, path, shard_name, compression, first, count) -> tf.data.Dataset:
        def parse(number, record):
            return self.parse_record(record, number, shard_name)

        records = tf.data.TFRecordDataset(path, compression).enumerate()
        return records.skip(first).take(count).map(parse)

    def parse_record(self, record, number, shard_name) -> tuple[tf.Tensor, ...]:
        """Returns name, encoded image and label of a record of a shard: string [], string [], int64 []."""
        record_number = tf.strings.as_string(number)
        encoded, label = self._parse_record(record, record_number, shard_name)
        return tf.strings.join([shard_name, ", record ", record_number]), encoded, label

    def _parse_record(self, record, record_number, shard_name) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the encoded image and the label of a record."""
        last_class = len(self.class_names) - 1
        first_label = self.record_format.first_label
        encoded, label = self.record_format.parse(record)
        value = tf.strings.as_string(label + first_label)
        problem = f", which is not in {first_label}..{first_label + last_class}"
        message = tf.strings.join(
            [
                *("DataError: record ", record_number, " of ", shard_name),
                *(" has the label ", value, problem),
            ]
        )
        tf.debugging.Assert((label >= 0) & (label <= last_class), [message])
        return encoded, label


def _printable(name: str) -> str:
    """Returns a name with escapes in place of bytes that are no characters."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")

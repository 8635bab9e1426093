"""The classes of TFRecord shards: their names, and the number of the first.

kapps and TFDS number classes from 0 and keep their names in a file. Google's ImageNet script numbers them from 1 and
writes the name into each record, as TF-Slim's scripts do with numbers from 0.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence

import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image.record_files import RecordFile
from kapps.data.image.record_formats import RecordFormat, find_problem
from kapps.data.text_files import read_class_names
from kapps.predictions import imagenet_classes

LABELS = "labels.txt"
_LABEL_FILES = (LABELS, "label.labels.txt")  # the second is TFDS's
_GOOGLE_LABEL, _TEXT, _SYNSET = "image/class/label", "image/class/text", "image/class/synset"
_BACKGROUND = ("background", "unused background", "unused", "dummy", "none")
_SCANNED_BYTES = 2**31
"""Records up to this size are all read for their labels; of larger sets the first shard is."""
MAX_CLASSES = 100_000


@dataclasses.dataclass(frozen=True)
class _Scan:
    """What the records of shards say about the classes.

    Args:
        smallest, largest: smallest and largest label.
        texts: {label: its name}.
        synsets: {label: its WordNet ID}.
    """

    smallest: int
    largest: int
    texts: dict[int, str]
    synsets: dict[int, str]


def find_labels(directory: str) -> str | None:
    """Returns the path of the file with the class names of a directory, or `None` if there is none."""
    paths = [os.path.join(directory, name) for name in _LABEL_FILES]
    return next((path for path in paths if os.path.isfile(path)), None)


def resolve_classes(
    directory: str, record_format: RecordFormat, files: Sequence[RecordFile]
) -> tuple[RecordFormat, tuple[str, ...], str]:
    """Returns the format with its `first_label`, the class names, and a line about labels that do not start at 0.

    Args:
        directory: of the shards.
        record_format: features of the records.
        files: the shards of all splits.

    Raises:
        DataError: there is no file of class names, and the records do not name all classes.
    """
    path = find_labels(directory)
    names = read_class_names(path) if path else None
    if record_format.label != _GOOGLE_LABEL:
        if names is None:
            raise DataError(
                f"{directory} holds shards but no {LABELS}: write one class name per line to"
                f" {os.path.join(directory, LABELS)}"
            )
        return record_format, names, ""
    scan = _scan_all(tuple(files))
    if names is None:
        first, names = _names_from_records(directory, scan)
    elif names[0].lower() in _BACKGROUND and scan.smallest > 0:
        first, names = 1, names[1:]
    else:
        has_names = bool(scan.texts or scan.synsets)
        first = int(scan.smallest > 0 and (has_names or scan.largest == len(names)))
    last = len(names) - 1 + first
    if scan.smallest < first or scan.largest > last:
        raise DataError(
            f"{directory}: the records have labels {scan.smallest}..{scan.largest}, and {len(names):,} classes are"
            f" {first}..{last}: correct {path or LABELS}, one class name per line"
        )
    for label, text in sorted(scan.texts.items()):
        if text in names and names[label - first] != text:
            raise DataError(
                f"{directory}: the records call class {label} {text!r}, and {path or LABELS} calls it"
                f" {names[label - first]!r}: correct its order"
            )
    note = f"labels {first}..{last} of the records are classes 0..{last - first}" if first else ""
    return dataclasses.replace(record_format, first_label=first), tuple(names), note


def _names_from_records(directory: str, scan: _Scan) -> tuple[int, Sequence[str]]:
    """Returns the number of the first class and the class names, from texts and WordNet IDs in the records."""
    imagenet = imagenet_classes()
    is_imagenet = bool(scan.synsets) and all(
        0 < label <= len(imagenet) and synset == imagenet[label - 1][0]
        for label, synset in scan.synsets.items()
    )
    if is_imagenet:
        return 1, [name for _, name in imagenet]
    texts = scan.texts if len(scan.texts) >= len(scan.synsets) else scan.synsets
    first = min(scan.smallest, 1)
    if first < 0 or scan.largest >= MAX_CLASSES:
        raise DataError(
            f"{directory}: the records have labels {scan.smallest}..{scan.largest}: kapps reads numbers from 0 or"
            f" 1, and at most {MAX_CLASSES:,} classes"
        )
    missing = [label for label in range(first, scan.largest + 1) if label not in texts]
    if missing:
        raise DataError(
            f"{directory} holds shards but no {LABELS}, and no record names class {missing[0]}: write one class name"
            f" per line to {os.path.join(directory, LABELS)}"
        )
    return first, [texts[label] for label in range(first, scan.largest + 1)]


def _scan_all(files: tuple[RecordFile, ...]) -> _Scan:
    """Returns the scan of all shards, or of the first if they are large."""
    if sum(file.bytes for file in files) > _SCANNED_BYTES:
        files = files[:1]
    return _scan(files)


@functools.lru_cache(maxsize=64)
def _scan(files: tuple[RecordFile, ...]) -> _Scan:
    features = {
        _GOOGLE_LABEL: tf.io.FixedLenFeature([], tf.int64),
        _TEXT: tf.io.FixedLenFeature([], tf.string, ""),
        _SYNSET: tf.io.FixedLenFeature([], tf.string, ""),
    }
    smallest, largest, texts, synsets = None, None, {}, {}
    for file in files:
        try:
            for batch in (
                file.dataset()
                .batch(256)
                .map(lambda records: tf.io.parse_example(records, features))
            ):
                labels = batch[_GOOGLE_LABEL].numpy().tolist()
                smallest = min(labels + [smallest] * (smallest is not None))
                largest = max(labels + [largest] * (largest is not None))
                for names, key in ((texts, _TEXT), (synsets, _SYNSET)):
                    for label, name in zip(labels, batch[key].numpy().tolist(), strict=True):
                        if name and label not in names and len(names) < MAX_CLASSES:
                            names[label] = name.decode("utf-8", "replace").strip()
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            reason = find_problem(file, RecordFormat("image/encoded", _GOOGLE_LABEL))
            raise DataError(reason or f"shard {file.path} cannot be read: {error}") from None
    return _Scan(smallest, largest, texts, synsets)

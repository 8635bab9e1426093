"""The features of the records that hold an image and its class, as kapps, TFDS and Google's scripts write them."""

import dataclasses

import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image.record_files import RecordFile

_FEATURES = {
    ("image", "label"): "kapps and TFDS",
    ("image/encoded", "image/class/label"): "Google's scripts: ImageNet, Inception, TF-Slim",
    ("image/encoded", "label"): "",
    ("image", "class"): "",
}
"""Names of the image and of the class number, and who writes them."""
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_LISTED = 8


@dataclasses.dataclass(frozen=True)
class RecordFormat:
    """The features of a `tf.train.Example` that hold an image and its class.

    Args:
        image: name of the encoded image, bytes.
        label: name of the number of the class, int64.
        first_label: number of the first class in the records.
    """

    image: str = "image"
    label: str = "label"
    first_label: int = 0

    def parse(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (encoded image, class number from 0) of a serialized record: string [] and int64 []."""
        features = {
            self.image: tf.io.FixedLenFeature([], tf.string),
            self.label: tf.io.FixedLenFeature([], tf.int64),
        }
        example = tf.io.parse_single_example(record, features)
        return example[self.image], example[self.label] - self.first_label

    def problem(self, record: bytes) -> str | None:
        """Returns why a serialized record cannot be parsed, or `None` if it can."""
        example = parse_example(record)
        if example is None:
            return "it is not a tf.train.Example"
        if is_single(example, self.image, "bytes") and is_single(example, self.label, "int64"):
            try:
                self.parse(record)
            except (tf.errors.OpError, UnicodeDecodeError):  # TensorFlow is stricter than protobuf
                return "it is not a valid tf.train.Example"
            return None
        return f"it has {describe(example)}, not {self.image} (bytes) and {self.label} (int64)"


def record_format(record: bytes, path: str) -> RecordFormat:
    """Returns the format of a serialized record.

    Args:
        record: the first record of a shard.
        path: path of the shard, for errors.

    Raises:
        DataError: the record is in none of the formats.
    """
    example = parse_example(record)
    if example is None:
        raise DataError(
            f"shard {path}, record 0: it is not a tf.train.Example: kapps reads {_expected()}"
        )
    for image, label in _FEATURES:
        if is_single(example, image, "bytes") and is_single(example, label, "int64"):
            return RecordFormat(image, label)
    raise DataError(
        f"shard {path} holds other records: record 0 has {describe(example)}; kapps reads {_expected()}"
    )


def describe(example: tf.train.Example) -> str:
    """Returns the names and types of the features of an example."""
    features = example.features.feature
    names = sorted(features)
    listed = [f"{name[:60]!r} ({_kind(features[name])})" for name in names[:_LISTED]]
    more = [f"{len(names) - _LISTED:,} more"] if len(names) > _LISTED else []
    return ", ".join(listed + more) or "no features"


def _expected() -> str:
    return " or ".join(f'"{image}" (bytes) with "{label}" (int64)' for image, label in _FEATURES)


def parse_example(record: bytes) -> tf.train.Example | None:
    """Returns a serialized example, or `None` for other content."""
    try:
        return tf.train.Example.FromString(record)
    except Exception:  # protobuf's DecodeError, which TensorFlow does not export
        return None


def _kind(feature: tf.train.Feature) -> str:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return "empty"
    count = len(getattr(feature, kind).value)
    return _KINDS[kind] + ("" if count == 1 else f", {count:,} values")


def is_single(example: tf.train.Example, name: str, kind: str) -> bool:
    """Returns whether a feature of an example has one value of a kind."""
    features = example.features.feature
    return name in features and _kind(features[name]) == kind


def find_problem(file: RecordFile, record_format: RecordFormat) -> str | None:
    """Returns which record of a shard cannot be read or parsed, or `None` if there is none. All records are read."""
    number = 0
    records = file.dataset().as_numpy_iterator()
    while True:
        try:
            record = next(records, None)
        except tf.errors.OpError:
            return (
                f"shard {file.path}, record {number:,}: it is corrupt; write or download it again"
            )
        if record is None:
            return None
        if reason := record_format.problem(record):
            return f"shard {file.path}, record {number:,}: {reason}"
        number += 1

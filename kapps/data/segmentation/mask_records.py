"""TFRecord shards of images with masks: their features, readers of directories and of TFDS, and a writer."""

import contextlib
import csv
import dataclasses
import io
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps._files import write_atomically
from kapps._local_paths import local_path
from kapps.data.errors import DataError, checked_data
from kapps.data.image.record_formats import describe, is_single, parse_example
from kapps.data.image.shards import first_record, read_shards
from kapps.data.image.tfds import read_tfds_split
from kapps.data.segmentation.mask_classes import VOID, MaskClasses, read_mask_classes
from kapps.data.segmentation.mask_source import MaskSource
from kapps.data.tfds_builder import load_tfds_builder

_FEATURES = (
    ("image", "mask"),  # kapps
    ("image", "segmentation_mask"),  # TFDS: oxford_iiit_pet
    ("image_left", "segmentation_label"),  # TFDS: cityscapes
    ("image", "annotation"),  # TFDS: scene_parse150
    ("image/encoded", "image/segmentation/class/encoded"),  # Google's scripts: DeepLab
)
"""Names of the image and of the mask, and who writes them."""
CLASSES = "classes.csv"
"""The file with the classes of the shards that kapps writes."""


@dataclasses.dataclass(frozen=True)
class MaskRecordFormat:
    """The features of a `tf.train.Example` that hold an image and its mask.

    Args:
        image: name of the encoded image, bytes.
        mask: name of the encoded mask, bytes.
    """

    image: str = "image"
    mask: str = "mask"

    def parse(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (encoded image, encoded mask) of a serialized record: string [] each."""
        feature = tf.io.FixedLenFeature([], tf.string)
        example = tf.io.parse_single_example(record, {self.image: feature, self.mask: feature})
        return example[self.image], example[self.mask]

    def problem(self, record: bytes) -> str | None:
        """Returns why a serialized record cannot be parsed, or `None` if it can."""
        example = parse_example(record)
        if example is None:
            return "it is not a tf.train.Example"
        if not all(is_single(example, name, "bytes") for name in (self.image, self.mask)):
            return f"it has {describe(example)}, not {self.image} (bytes) and {self.mask} (bytes)"
        try:
            self.parse(record)
        except (tf.errors.OpError, UnicodeDecodeError):  # TensorFlow is stricter than protobuf
            return "it is not a valid tf.train.Example"
        return None


def open_mask_shards(directory: str, split: str, classes: MaskClasses) -> MaskSource:
    """Opens a directory of TFRecord shards of images with masks. Names of the shards are those of images with labels.

    Args:
        directory: the directory.
        split: "train", "validation", or another of the directory's.
        classes: of the masks.

    Raises:
        DataError: the split or a shard is missing, or a shard is corrupt, empty or holds other records.
    """
    fields, _, selected = read_shards(directory, split)
    record, path = first_record(selected)
    return MaskSource(
        kind="records", class_names=classes.names, classes=classes,
        record_format=_mask_record_format(record, path), **fields,
    )  # fmt: skip


def open_mask_tfds(
    dataset: str | None, data_dir: str | os.PathLike | None, split: str, classes: MaskClasses
) -> MaskSource:
    """Opens a TFDS dataset of images with masks.

    Args:
        dataset: name in TFDS, or `None` for the prepared dataset in `data_dir`.
        data_dir: directory where TFDS keeps its datasets. `None` is TFDS's default.
        split: "train", "validation", or one of the dataset's, optionally with a slice: "train[:10%]".
        classes: of the masks.

    Raises:
        DataError: the dataset has no masks, lacks the split or a file, or is not stored as TFRecord.
    """
    builder = load_tfds_builder(dataset, data_dir)
    name = dataset or os.fspath(data_dir)
    features = builder.info.features or {}
    pairs = [pair for pair in _FEATURES if all(key in features for key in pair)]
    if not pairs:
        raise DataError(
            f"{name} has features {', '.join(features)}: kapps needs an image and a mask, {_expected()}"
        )
    return MaskSource(
        kind="tfds", class_names=classes.names, classes=classes,
        record_format=MaskRecordFormat(*pairs[0]), **read_tfds_split(builder, name, split),
    )  # fmt: skip


def _mask_record_format(record: bytes, path: str) -> MaskRecordFormat:
    example = parse_example(record)
    for pair in _FEATURES:
        if example and all(is_single(example, name, "bytes") for name in pair):
            return MaskRecordFormat(*pair)
    content = "it is not a tf.train.Example" if example is None else f"it has {describe(example)}"
    raise DataError(f"shard {path}, record 0: {content}; kapps reads {_expected()}")


def _expected() -> str:
    return " or ".join(f'"{image}" with "{mask}"' for image, mask in _FEATURES)


@checked_data
def write_mask_tfrecords(
    images: np.ndarray | Sequence[bytes],
    masks: np.ndarray | Sequence[bytes],
    classes: str | os.PathLike | int,
    directory: str | os.PathLike,
    split: str,
    shards: int = 1,
    void: int = VOID,
) -> list[str]:
    """Writes images with masks to TFRecord shards, and the classes to classes.csv.

    Args:
        images: uint8 [n, height, width, 1 or 3], which are stored as PNG, or n encoded images.
        masks: uint8 [n, height, width], or n encoded masks.
        classes, void: as for `kapps.data.segmentation.open_masks`.
        directory: where to write. It is created if it does not exist.
        split: prefix of the files: "train", "validation" or "test", for example.
        shards: number of files. Consecutive images go to consecutive files.

    Returns:
        The paths of the shards.

    Raises:
        DataError: there are not as many images as masks, or none.
    """
    directory = os.fspath(local_path(directory, "directory"))
    classes = read_mask_classes(classes, void)
    if len(images) != len(masks) or len(images) == 0:
        raise DataError(
            f"{len(images)} images and {len(masks)} masks: pass as many of each, and at least one"
        )
    os.makedirs(directory, exist_ok=True)
    paths = [
        os.path.join(directory, f"{split}-{shard:05d}-of-{shards:05d}.tfrecord")
        for shard in range(shards)
    ]
    with contextlib.ExitStack() as complete:  # renames the files when all are complete
        for shard, path in enumerate(paths):
            temporary = complete.enter_context(write_atomically(path))
            with tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
                for index in range(shard, len(images), shards):
                    writer.write(_serialize(images[index], masks[index]))
        temporary = complete.enter_context(write_atomically(os.path.join(directory, CLASSES)))
        temporary.write_text(_to_csv(classes), encoding="utf-8")
    return paths


def _serialize(image, mask) -> bytes:
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[encode_png(pixels)]))
        for name, pixels in (("image", image), ("mask", mask))
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def encode_png(pixels: np.ndarray | bytes) -> bytes:
    """Returns pixels, uint8 [height, width] or [height, width, channels], as PNG; encoded images unchanged."""
    if isinstance(pixels, bytes):
        return pixels
    return tf.io.encode_png(pixels[..., None] if pixels.ndim == 2 else pixels).numpy()


def _to_csv(classes: MaskClasses) -> str:
    """Returns the text of a file of classes that `read_mask_classes` reads with the same `void`."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["name", "value", "r", "g", "b"])
    for name, value, colour in zip(classes.names, classes.values, classes.colours, strict=True):
        writer.writerow([name, value, *colour])
    for colour in classes.void_colours:
        writer.writerow(["void", classes.void, *colour])
    return file.getvalue()

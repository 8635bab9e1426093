"""Writes images to TFRecord shards, resized and encoded once, so that a training decodes fewer pixels.

python -m kapps.data.records flowers flowers_256 --shorter_side=256 --quality=90
"""

import contextlib
import functools
import os
import sys
from collections.abc import Sequence

import tensorflow as tf

from kapps import _errors
from kapps._arguments import Parser, integer, path
from kapps._files import write_atomically
from kapps.data.errors import SkippedImages
from kapps.data.image import decode_image
from kapps.data.image._chunks import decode_chunks
from kapps.data.image._order import evaluated_images
from kapps.data.image.open_source import open_source
from kapps.data.image.record_labels import LABELS
from kapps.data.image.source import Source
from kapps.data.image.tfrecord import check_directory, name_shards, serialize

SPLITS = ("train", "validation")


def write_prepared(
    source: Source,
    directory: str | os.PathLike,
    split: str,
    *,
    shards: int = 1,
    shorter_side: int | None = None,
    quality: int = 90,
    strict: bool = False,
) -> SkippedImages:
    """Writes the images of a source to TFRecord shards, in its order.

    An image whose shorter side is larger than `shorter_side` is turned as its EXIF says, resized with antialiasing
    (bilinear) and encoded as JPEG. Every other image keeps its bytes; GIF, BMP and WebP become PNG.

    Args:
        source: the images, from `kapps.data.open_source`.
        directory: where to write. It is created if it does not exist.
        split: prefix of the files, such as "train".
        shards: number of files. Consecutive images go to consecutive files.
        shorter_side: the largest shorter side, in pixels; `None` to keep all images.
        quality: of the JPEG encoding, 1 to 100.
        strict: whether an image that cannot be decoded is an error. By default it is left out.

    Returns:
        The images that are left out.

    Raises:
        DataError: the directory holds other data.
    """
    directory, names = os.fspath(directory), name_shards(split, shards)
    os.makedirs(directory, exist_ok=True)
    check_directory(directory, names, split, source.class_names)
    images, skipped = _prepare(source, shorter_side, quality, strict)
    with contextlib.ExitStack() as complete:  # renames the files when all are complete
        paths = [
            complete.enter_context(write_atomically(os.path.join(directory, n))) for n in names
        ]
        labels = complete.enter_context(write_atomically(os.path.join(directory, LABELS)))
        with contextlib.ExitStack() as files:
            writers = [files.enter_context(tf.io.TFRecordWriter(os.fspath(p))) for p in paths]
            for number, (encoded, label) in enumerate(images.as_numpy_iterator()):
                writers[number % shards].write(serialize(encoded, int(label)))
        labels.write_text("".join(f"{name}\n" for name in source.class_names), encoding="utf-8")
    return skipped


def _prepare(source, shorter_side, quality, strict):
    """Returns a dataset of (encoded image, label), and the images that are left out."""

    def prepare(image_format, encoded, orientation, *_):
        image = decode_image.decode_format(image_format, encoded, orientation, 3)
        size = tf.shape(image)[:2]
        shorter = tf.reduce_min(size)
        limit = shorter if shorter_side is None else shorter_side

        def resize():
            scaled = tf.cast(tf.round(size * limit / shorter), tf.int32)
            pixels = tf.image.resize(image, scaled, antialias=True)
            return tf.io.encode_jpeg(decode_image.to_uint8(pixels), "rgb", quality)

        return tf.cond(shorter > limit, resize, lambda: encoded)

    skipped = SkippedImages()
    images = evaluated_images(source, skipped, seed=None, cache_bytes=0)
    images = decode_chunks(
        images,
        prepare,
        tf.TensorSpec([], tf.string),
        lambda encoded, labels, _: (encoded, labels),
        source,
        skipped,
        strict,
        channels=3,
    )
    return images.unbatch(), skipped


def convert(options) -> None:
    """Writes the shards of both splits, and prints their numbers."""
    for split in SPLITS:
        source = open_source(None, options.data_dir, split)
        skipped = write_prepared(
            source, options.directory, split,
            shards=options.shards, shorter_side=options.shorter_side, quality=options.quality,
        )  # fmt: skip
        print(
            f"{options.directory}: {source.examples - len(skipped.names):,} {split} images; {skipped.summary()}"
        )


def parser() -> Parser:
    """Returns the parser of the command line."""
    result = Parser(
        prog="python -m kapps.data.records",
        description="Writes images to TFRecord shards, resized and encoded once.",
    )
    result.add_argument("data_dir", type=path, help="class folders, a .zip of them, or shards")
    result.add_argument("directory", type=path, help="directory to write the shards to")
    result.add_argument(
        "--shorter_side", type=integer(1, 8192), help="pixels of the shorter side [unchanged]"
    )
    result.add_argument(
        "--quality", type=integer(1, 100), default=90, help="of JPEG (default: %(default)s)"
    )
    result.add_argument(
        "--shards", type=integer(1, 10**5), default=16, help="of each split (default: %(default)s)"
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit status."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    return _errors.run(functools.partial(convert, options), command_line.prog, status=1)


if __name__ == "__main__":
    sys.exit(main())

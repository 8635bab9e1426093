"""Converts an .npz file of images to TFRecord shards.

python -m kapps.data.image.npz_to_tfrecord fashion_mnist.npz data/fashion_mnist
"""

import argparse
import sys
from collections.abc import Sequence

from kapps.data.errors import DataError
from kapps.data.image.npz_files import read_npz
from kapps.data.image.tfrecord import write_tfrecords


def convert(path: str, directory: str, shards: int) -> None:
    """Writes the train and test images of an .npz file to `shards` shards each, and prints their numbers."""
    content = read_npz(path)
    class_names = content.class_names
    for split, (images, labels) in content.arrays.items():
        write_tfrecords(images, labels, class_names, directory, split, shards)
        print(
            f"{directory}: {len(images):,} {split} images in {shards} shards,"
            f" {len(class_names)} classes"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m kapps.data.image.npz_to_tfrecord",
        description="Converts an .npz file of images to TFRecord shards.",
    )
    parser.add_argument("npz", help="file of x_train, y_train, x_test and y_test; images are uint8")
    parser.add_argument("directory", help="directory to write the shards to")
    parser.add_argument(
        "--shards", type=int, default=4, help="number of shards per split (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        convert(options.npz, options.directory, options.shards)
    except DataError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()

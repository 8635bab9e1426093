"""Converts an .npz file of images to TFRecord shards.

python -m kapps.data.image.npz_to_tfrecord fashion_mnist.npz data/fashion_mnist
"""

import functools
import sys
from collections.abc import Sequence

from kapps import _errors
from kapps._arguments import Parser, integer, path
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit status."""
    parser = Parser(
        prog="python -m kapps.data.image.npz_to_tfrecord",
        description="Converts an .npz file of images to TFRecord shards.",
    )
    parser.add_argument(
        "npz", type=path, help="file of x_train, y_train, x_test and y_test; images are uint8"
    )
    parser.add_argument("directory", type=path, help="directory to write the shards to")
    parser.add_argument(
        "--shards",
        type=integer(1, 10**5),
        default=4,
        help="number of shards per split (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    call = functools.partial(convert, options.npz, options.directory, options.shards)
    return _errors.run(call, parser.prog, status=1)


if __name__ == "__main__":
    sys.exit(main())

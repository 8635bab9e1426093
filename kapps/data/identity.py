"""The identity of data: what a resumed run compares with the data that it was started with.

An identity has JSON's types: "unit", "parts" ({name: [count, digest]}), and for images "classes" and, for small
datasets, "files" ({name: bytes}). `kapps.training.Run` saves it with its checkpoints and names what changed.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence

import numpy as np

from kapps.data.errors import DataError
from kapps.data.image.source import Source
from kapps.data.segmentation.mask_source import MaskSource

_MAX_FILES = 1000
"""Largest number of files whose names are part of an identity, so that an error can name a file."""


def source_identity(source: Source) -> dict:
    """Returns the identity of a dataset of images: classes, numbers, and a digest of the names and sizes of its files.

    Images in one file (.npz, .zip) are compared by their content, which is in memory.

    Args:
        source: the dataset, from `kapps.data.open_source`.
    """
    identity = {"unit": "images", "classes": list(source.class_names), "parts": {}}
    if source.shards:
        if isinstance(source, MaskSource):
            identity["parts"]["values of the masks"] = _mask_values(source)
        for path, (first, count) in zip(source.files, source.ranges, strict=True):
            name = _relative(path, source.root)
            parts = identity["parts"].setdefault(name, [0, _digest([])])
            parts[0] += count
            parts[1] = _digest([parts[1], first, count, _size(path)])
        return identity
    if source.kind == "archive":
        names = source.files
        sizes = [len(encoded) for encoded in source.encoded]
        contents = [hashlib.sha256(encoded).hexdigest() for encoded in source.encoded]
    else:
        names = [_relative(path, source.root) for path in source.files]
        sizes = contents = [_size(path) for path in source.files]
    if isinstance(source, MaskSource):
        sizes, contents = _add_masks(source, sizes, contents)
        content = [row for pair in zip(names, contents, strict=True) for row in pair]
        identity["parts"] = {
            "images": [len(names), _digest(content)],
            "values of the masks": _mask_values(source),
        }
    else:
        rows = {name: [] for name in source.class_names}
        for name, content, label in zip(names, contents, source.labels, strict=True):
            rows[source.class_names[label]] += [name, content]
        identity["parts"] = {name: [len(row) // 2, _digest(row)] for name, row in rows.items()}
    if len(names) <= _MAX_FILES:
        identity["files"] = dict(zip(names, sizes, strict=True))
    return identity


def _add_masks(source, sizes, contents):
    """Returns the sizes and the contents of the images, each with those of its mask."""
    if source.kind == "archive":
        mask_sizes = [len(encoded) for encoded in source.encoded_masks]
        mask_contents = [hashlib.sha256(encoded).hexdigest() for encoded in source.encoded_masks]
    else:
        mask_sizes = mask_contents = [_size(path) for path in source.masks]
    return (
        [sum(pair) for pair in zip(sizes, mask_sizes, strict=True)],
        list(zip(contents, mask_contents, strict=True)),
    )


def _mask_values(source):
    """Returns what the values of masks mean, as a part of an identity."""
    return [len(source.class_names), _digest([source.classes])]


def images_identity(train_source: Source, test_source: Source) -> dict:
    """Returns the identities of the training and the evaluation images by their names, for `kapps.training.Run`."""
    return {
        "training images": source_identity(train_source),
        "evaluation images": source_identity(test_source),
    }


def file_identity(*paths: str | os.PathLike) -> dict:
    """Returns the identity of files by their content.

    Raises:
        DataError: a file cannot be read.
    """
    parts = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            parts[os.path.basename(path)] = [os.path.getsize(path), digest]
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return {"unit": "bytes", "parts": parts}


def array_identity(arrays: Mapping[str, np.ndarray]) -> dict:
    """Returns the identity of arrays of examples by their shapes, types and values.

    Args:
        arrays: the arrays by name. The first axis counts the examples.
    """
    parts = {}
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        content = [array.shape, array.dtype.str, hashlib.sha256(array.data.cast("B")).hexdigest()]
        parts[name] = [len(array), _digest(content)]
    return {"unit": "examples", "parts": parts}


def lines_identity(lines: Mapping[str, Sequence[str]]) -> dict:
    """Returns the identity of texts, such as the sentences of a corpus.

    Args:
        lines: the lines of each text, by its name.
    """
    parts = {name: [len(text), _digest(text)] for name, text in lines.items()}
    return {"unit": "lines", "parts": parts}


def _digest(values):
    digest = hashlib.sha256()
    for value in values:
        content = str(value).encode("utf-8", "surrogateescape")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:32]


def _relative(path, root):
    return os.path.relpath(path, root).replace(os.sep, "/") if root else os.path.basename(path)


def _size(path):
    import tensorflow as tf

    return os.path.getsize(path) if os.path.exists(path) else int(tf.io.gfile.stat(path).length)

"""Sources that TFDS prepared, by name or by directory.

The shards are read as kapps reads its own: TFDS's `as_dataset` takes no seed that changes from
epoch to epoch.
"""

import os

import numpy as np
import tensorflow as tf

from kapps.cards import nearest
from kapps.data.faults import DataError
from kapps.data.sources import Source, pick


def open_prepared(dataset: str | None, data_dir: str | os.PathLike | None, split: str) -> Source:
    """Opens a data set of TFDS: see `kapps.data.open_source`, which calls this."""
    ready = builder(dataset, data_dir)
    name = dataset or os.fspath(data_dir)
    features = ready.info.features
    try:
        image, label = features["image"], features["label"]
        class_names = tuple(label.names)
        usable = np.dtype(image.np_dtype) == np.uint8 and len(image.shape) == 3
    except (KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise DataError(
            f"{name} has features {', '.join(features or ())}:"
            ' kapps needs "image" (uint8) and "label" (classes)'
        )
    part = split.partition("[")
    split = pick(part[0], ready.info.splits, name) + part[1] + part[2]
    try:
        info = ready.info.splits[split]
        files = info.file_instructions
    except ValueError as error:
        raise DataError(f"{name} has no split {split!r}: {str(error).splitlines()[0]}") from None
    if not info.num_examples:
        raise DataError(f"the split {split!r} of {name} is empty")
    if str(ready.info.file_format.value) != "tfrecord":
        raise DataError(
            f"{name} is stored as {ready.info.file_format.value}: prepare it as tfrecord"
        )
    paths = tuple(os.fspath(file.filename) for file in files)
    for path in paths:
        if not tf.io.gfile.exists(path):
            raise DataError(f"shard {path} of {name} is missing: prepare the data set again")
    return Source(
        name=name,
        split=split,
        kind="tfds",
        class_names=class_names,
        examples=info.num_examples,
        bytes=sum(tf.io.gfile.stat(path).length for path in set(paths)),
        files=paths,
        ranges=tuple((file.skip, file.take) for file in files),
        root=os.fspath(ready.data_dir),
    )


def is_prepared(dataset: str) -> bool:
    """Whether TFDS has prepared a data set in its own directory."""
    root = os.environ.get("TFDS_DATA_DIR", os.path.join("~", "tensorflow_datasets"))
    return os.path.isdir(os.path.join(os.path.expanduser(root), dataset))


def builder(dataset: str | None, data_dir: str | os.PathLike | None):
    """Returns TFDS's builder of a data set, prepared; `DataError` where it cannot be had."""
    import tensorflow_datasets as tfds  # slow to import, and not everybody needs it

    where = f"data directory {data_dir}" if data_dir else "TFDS's directory"
    try:
        if dataset is None:
            return tfds.builder_from_directory(os.fspath(data_dir))
        found = tfds.builder(dataset, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        close = nearest(
            dataset.partition(":")[0].partition("/")[0], [*tfds.list_builders(), "digits"]
        )
        raise DataError(
            f"no data set is named {dataset!r}.{close}"
            " Give digits, a TFDS name, or a directory alone"
        ) from None
    except Exception as error:
        raise DataError(f"TFDS cannot open {dataset or data_dir}: {_first(error)}") from None
    try:
        found.download_and_prepare()
    except Exception as error:
        raise DataError(
            f"TFDS could not prepare {dataset!r} ({_first(error)}): put it, prepared, in {where}"
        ) from None
    return found


def _first(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: {text.splitlines()[0]}"

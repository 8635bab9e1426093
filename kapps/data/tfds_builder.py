"""Builders of TFDS (TensorFlow Datasets), shared by the readers of images and of translations."""

import os

from kapps._names import nearest
from kapps.data.errors import DataError


def is_tfds_prepared(dataset: str) -> bool:
    """Returns whether TFDS has prepared the dataset in its own directory."""
    root = os.environ.get("TFDS_DATA_DIR", os.path.join("~", "tensorflow_datasets"))
    return os.path.isdir(os.path.join(os.path.expanduser(root), dataset))


def load_tfds_builder(dataset: str | None, data_dir: str | os.PathLike | None):
    """Returns the `tfds.core.DatasetBuilder` of a dataset, downloaded and prepared if necessary.

    Args:
        dataset: name in TFDS, such as "mnist:3.0.1". `None` reads the prepared dataset in `data_dir`.
        data_dir: directory where TFDS keeps its datasets. `None` is TFDS's default.

    Raises:
        DataError: the dataset is unknown, or cannot be read or prepared.
    """
    import tensorflow_datasets as tfds  # slow to import, and only these datasets need it

    try:
        if dataset is None:
            return tfds.builder_from_directory(os.fspath(data_dir))
        builder = tfds.builder(dataset, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        name = dataset.partition(":")[0].partition("/")[0]
        suggestion = nearest(name, [*tfds.list_builders(), "digits"])
        raise DataError(
            f"there is no dataset {dataset!r}.{suggestion}"
            " Pass digits, the name of a TFDS dataset, or only a directory"
        ) from None
    except Exception as error:
        raise DataError(f"TFDS cannot open {dataset or data_dir}: {_one_line(error)}") from None
    try:
        builder.download_and_prepare()
    except Exception as error:
        directory = f"data directory {data_dir}" if data_dir else "TFDS's directory"
        raise DataError(
            f"TFDS cannot prepare {dataset!r} ({_one_line(error)}):"
            f" put the prepared dataset in {directory}"
        ) from None
    return builder


def _one_line(error: Exception) -> str:
    message = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: {message.splitlines()[0]}"

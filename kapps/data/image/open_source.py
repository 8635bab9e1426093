"""`open_source`: chooses the reader for a dataset of labelled images."""

import os
from importlib import resources

from kapps._local_paths import local_path
from kapps.data.errors import DataError, checked_data
from kapps.data.image.archives import open_zip
from kapps.data.image.class_folders import open_class_folders
from kapps.data.image.npz_files import open_npz
from kapps.data.image.shard_names import find_shards
from kapps.data.image.shards import open_shards
from kapps.data.image.source import Source
from kapps.data.image.tfds import open_tfds


@checked_data
def open_source(
    dataset: str | None = None,
    data_dir: str | os.PathLike | None = None,
    split: str = "train",
    labels: str | os.PathLike | None = None,
) -> Source:
    """Opens a dataset of labelled images.

    Args:
        dataset: "digits", which is part of kapps; the name of a TFDS dataset, such as "fashion_mnist" or
            "mnist:3.0.1", which is downloaded and prepared in `data_dir` if necessary; or `None` to read `data_dir`.
        data_dir: with a TFDS dataset, the directory where TFDS keeps its datasets (`None` is TFDS's default).
            Without `dataset`, one of

            - a directory of class folders, `train/daisy/1.jpg`, or without splits `daisy/1.jpg`
            - a directory of TFRecord shards, with labels.txt or names in the records (see `kapps.data.image.shards`)
            - a directory that TFDS prepared
            - a .zip file of class folders
            - an .npz file of the arrays x_train, y_train, x_test and y_test
        split: "train"; "validation", for which "valid", "val", "eval" or "dev" is read, and "test" only if the dataset
            has none of them; or the name of another split. Capital letters do not matter. Class folders without
            splits are divided by the hash of an image's name ("daisy/1.jpg"):
            about a fifth of each class is "validation". An image stays in its split when other images are added.
        labels: a CSV file of the labels of a directory or .zip file of images that are not in class folders. It has a
            column of file names, a column of labels, and optionally a column "split"; see
            `kapps.data.image.label_files`.

    Raises:
        DataError: the dataset cannot be read. The message is one line.
    """
    if labels is not None and (dataset or not data_dir):
        raise DataError(
            f"labels {labels} are for a directory or a .zip file of images: pass data_dir without dataset"
        )
    if data_dir is not None and os.fspath(data_dir):
        data_dir = local_path(data_dir, "data_dir")
    if dataset == "digits":
        if data_dir:
            raise DataError(
                f"the digits are part of kapps and are not in {data_dir}: pass dataset=None to read that directory"
            )
        return open_shards(resources.files("kapps.data.image") / "digits", split, name="digits")
    if dataset:
        return open_tfds(dataset, data_dir, split)
    if not data_dir:
        raise DataError("no data: pass the name of a dataset, such as digits, or a directory")
    path = os.path.abspath(data_dir)
    if os.path.isfile(path):
        return _open_file(path, split, labels)
    if not os.path.isdir(path):
        raise DataError(f"data directory {data_dir} does not exist: pass one that holds images")
    if labels is not None:
        return open_class_folders(path, split, labels)
    if os.path.isfile(os.path.join(path, "dataset_info.json")):
        return open_tfds(None, path, split)
    if find_shards(path):
        return open_shards(path, split)
    return open_class_folders(path, split)


def _open_file(path: str, split: str, labels: str | os.PathLike | None) -> Source:
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".zip":
        return open_zip(path, split, labels)
    if suffix == ".npz" and labels is None:
        return open_npz(path, split)
    if labels is not None:
        raise DataError(f"labels {labels} are for a directory or a .zip file of images, not {path}")
    raise DataError(
        f"{path} is a file: kapps reads .npz (x_train, y_train, x_test, y_test), .zip of class"
        " folders, or a directory"
    )

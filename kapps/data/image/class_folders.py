"""Reads images from class folders: one folder of images per class, inside split folders or without splits."""

import hashlib
import os

from kapps._local_paths import local_path
from kapps.data.errors import DataError
from kapps.data.image.source import EVALUATION_SPLITS, IMAGE_SUFFIXES, Source, select_split

_HELD_OUT = 5
"""One image in so many is for validation, if the folders have no splits."""


def open_class_folders(directory: str | os.PathLike, split: str) -> Source:
    """Opens class folders, `train/daisy/1.jpg`, or without splits `daisy/1.jpg`.

    Args:
        directory: the directory that holds the folders.
        split: "train", "validation", or another of the directory's.

    Raises:
        DataError: the directory has no class folders or lacks the split, or a class has no images to train on.
    """
    directory = os.fspath(local_path(directory, "directory"))
    folders = _subfolders(directory)
    if not folders:
        raise DataError(
            f"data directory {directory} holds no images:"
            " kapps reads class folders (train/daisy/1.jpg), TFRecord shards with labels.txt,"
            " or a dataset that TFDS prepared"
        )
    if any(_subfolders(os.path.join(directory, folder)) for folder in folders):
        split = select_split(split, folders, directory)
        root, class_names = (
            os.path.join(directory, split),
            _split_classes(directory, split, folders),
        )
        images = [_image_paths(os.path.join(root, name)) for name in class_names]
        if split == "train":
            _check_not_empty(root, class_names, images)
    else:
        split = "validation" if split in EVALUATION_SPLITS else split
        select_split(split, ("train", "validation"), directory)
        root, class_names = directory, folders
        images = _split_by_hash(directory, class_names, split == "validation")
    paths = [path for paths_of_class in images for path in paths_of_class]
    labels = [label for label, paths_of_class in enumerate(images) for _ in paths_of_class]
    if not paths:
        raise DataError(
            f"{root} holds no images for {split}:"
            f" it needs class folders with images ({' '.join(IMAGE_SUFFIXES)})"
        )
    return Source(
        name=directory,
        split=split,
        kind="folder",
        class_names=tuple(class_names),
        examples=len(paths),
        bytes=sum(map(os.path.getsize, paths)),
        files=tuple(paths),
        labels=tuple(labels),
        root=root,
    )


def is_held_out(name: str) -> bool:
    """Returns whether an image of a dataset without splits is for validation, by its name ("daisy/1.jpg")."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % _HELD_OUT == 0


def _split_classes(directory: str, split: str, splits: list[str]) -> list[str]:
    """Returns the classes of a split: those of the train split if there is one.

    The number of a class is its position among the training classes, even if the other split lacks a class.
    """
    class_names = _subfolders(os.path.join(directory, split))
    if split == "train" or "train" not in splits:
        return class_names
    train_directory = os.path.join(directory, "train")
    train_classes = _subfolders(train_directory)
    unknown = [name for name in class_names if name not in train_classes]
    if unknown:
        raise DataError(
            f"{os.path.join(directory, split)} has a class folder {unknown[0]!r} that the train"
            f" split lacks: delete it, or add one to {train_directory}"
        )
    return train_classes


def _split_by_hash(directory: str, class_names: list[str], evaluation: bool) -> list[list[str]]:
    """Returns the paths of the images of each class, for evaluation or for training, of folders without splits."""
    for name in class_names:
        if name in ("train", *EVALUATION_SPLITS):
            raise DataError(
                f"{os.path.join(directory, name)} has no class folders:"
                f" kapps reads class folders, so that an image is {name}/daisy/name.jpg"
            )
    images = [_image_paths(os.path.join(directory, name)) for name in class_names]
    _check_not_empty(directory, class_names, images)
    selected = []
    for name, paths in zip(class_names, images, strict=True):
        relative = [os.path.relpath(path, directory).replace(os.sep, "/") for path in paths]
        selected.append(
            [p for p, r in zip(paths, relative, strict=True) if is_held_out(r) == evaluation]
        )
        if not selected[-1] and not evaluation:
            raise DataError(
                f"class folder {os.path.join(directory, name)} has {len(paths)} images, and"
                " all are held out for validation: add some, or make train and validation folders"
            )
    return selected


def _check_not_empty(directory: str, class_names: list[str], images: list[list[str]]) -> None:
    for name, paths in zip(class_names, images, strict=True):
        if not paths:
            raise DataError(
                f"class folder {os.path.join(directory, name)} holds no images"
                f" ({' '.join(IMAGE_SUFFIXES)})"
            )


def _subfolders(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _image_paths(directory: str) -> list[str]:
    if not os.path.isdir(directory):
        return []
    with os.scandir(directory) as entries:
        return sorted(
            e.path
            for e in entries
            if e.is_file()
            and e.name.lower().endswith(IMAGE_SUFFIXES)
            and not e.name.startswith(".")
        )

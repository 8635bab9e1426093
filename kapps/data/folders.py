"""Sources that are folders of images, one a class, below train and validation or without splits."""

import hashlib
import os

from kapps.data.faults import DataError
from kapps.data.sources import EVALUATION, SUFFIXES, Source, pick

_HELD_OUT = 5  # one image in so many is for evaluation, where a folder has no splits of its own


def open_folder(directory: str, split: str) -> Source:
    """Opens class folders: see `kapps.data.open_source`, which calls this."""
    splits = _subfolders(directory)
    if not splits:
        raise DataError(
            f"data directory {directory} holds no images:"
            " kapps reads class folders (train/daisy/1.jpg), TFRecord shards with labels.txt,"
            " or what TFDS prepared"
        )
    if any(_subfolders(os.path.join(directory, folder)) for folder in splits):
        split = pick(split, splits, directory)
        here, class_names = os.path.join(directory, split), _split_classes(directory, split, splits)
        found = [_images(os.path.join(here, name)) for name in class_names]
        if split == "train":
            _refuse_empty(here, class_names, found)
    else:
        split = "validation" if split in EVALUATION else split
        pick(split, ("train", "validation"), directory)
        here, class_names = directory, splits
        found = _held_out(directory, class_names, split == "validation")
    files = [file for images in found for file in images]
    labels = [label for label, images in enumerate(found) for _ in images]
    if not files:
        raise DataError(
            f"{here} holds no images for {split}:"
            f" it needs class folders with images ({' '.join(SUFFIXES)})"
        )
    return Source(
        name=directory,
        split=split,
        kind="folder",
        class_names=tuple(class_names),
        examples=len(files),
        bytes=sum(map(os.path.getsize, files)),
        files=tuple(files),
        labels=tuple(labels),
        root=here,
    )


def _split_classes(directory: str, split: str, splits: list[str]) -> list[str]:
    """Returns the classes of a split's folder, those of the train split where there is one."""
    class_names = _subfolders(os.path.join(directory, split))
    if split == "train" or "train" not in splits:
        return class_names
    # A class's number is its place among the training classes, also where the evaluation split
    # lacks one.
    train = _subfolders(os.path.join(directory, "train"))
    strange = [name for name in class_names if name not in train]
    if strange:
        raise DataError(
            f"{os.path.join(directory, split)} has a class folder {strange[0]!r} that the train"
            f" split lacks: delete it, or give {os.path.join(directory, 'train')} one too"
        )
    return train


def _held_out(directory: str, class_names: list[str], evaluation: bool) -> list[list[str]]:
    """Returns each class's images for evaluation, or for training, of folders without splits."""
    flat = [name for name in class_names if name in ("train", *EVALUATION)]
    if flat:
        raise DataError(
            f"{os.path.join(directory, flat[0])} has no class folders:"
            f" kapps reads class folders, so that an image is {flat[0]}/daisy/name.jpg"
        )
    every = [_images(os.path.join(directory, name)) for name in class_names]
    _refuse_empty(directory, class_names, every)
    found = []
    for name, images in zip(class_names, every, strict=True):
        here = {file: os.path.relpath(file, directory).replace(os.sep, "/") for file in images}
        found.append([file for file in images if for_evaluation(here[file]) == evaluation])
        if not found[-1] and not evaluation:
            raise DataError(
                f"class folder {os.path.join(directory, name)} has {len(images)} images, and"
                " all are held out for validation: add some, or make train and validation folders"
            )
    return found


def for_evaluation(name: str) -> bool:
    """Whether an image is held out, where its data set has no splits, by its name, "daisy/1.jpg"."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % _HELD_OUT == 0


def _refuse_empty(directory: str, class_names: list[str], found: list[list[str]]) -> None:
    for name, images in zip(class_names, found, strict=True):
        if not images:
            raise DataError(
                f"class folder {os.path.join(directory, name)} holds no images"
                f" ({' '.join(SUFFIXES)})"
            )


def _subfolders(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _images(directory: str) -> list[str]:
    if not os.path.isdir(directory):
        return []
    with os.scandir(directory) as entries:
        return sorted(
            e.path
            for e in entries
            if e.is_file() and e.name.lower().endswith(SUFFIXES) and not e.name.startswith(".")
        )

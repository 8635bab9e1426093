"""Which images of a directory or of an archive are read: splits and classes by the names of the folders."""

import dataclasses
import hashlib
import os
from collections.abc import Callable

from kapps.data.errors import DataError
from kapps.data.image.listing import IMAGE_SUFFIXES, Listing
from kapps.data.image.splits import TEST, TRAINING, is_split, select_split

_HELD_OUT = 5
"""One image in so many is for validation, if there are no splits."""
HASHED = ("train", "validation")
"""The splits of a dataset without splits."""


@dataclasses.dataclass
class Layout:
    """The images of a split.

    Args:
        split: name of the split.
        splits: names of all splits.
        held_out: whether the dataset has no splits, and a part of each class was held out for validation.
        class_names: names of the classes, sorted.
        names: names of the images.
        labels: class number of each image.
        left_out: {name: reason} of the files that are not read. Files of other splits are not among them.
        notes: what was recognised in the labels.
    """

    split: str
    splits: tuple[str, ...]
    held_out: bool
    class_names: tuple[str, ...]
    names: list[str]
    labels: list[int]
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()


def arrange_folders(listing: Listing, split: str, path: str) -> Layout:
    """Returns the images of a split of class folders, `train/daisy/1.jpg`, or without splits `daisy/1.jpg`.

    A class has the images of its folder and of all folders inside it. Folders around all others are passed through.

    Args:
        listing: the files.
        split: the requested split.
        path: of the directory or archive, for errors.

    Raises:
        DataError: there are no class folders or no such split, or a class has no images to train on.
    """
    top = _common_folder(listing)
    folders = listing.children(top)
    if not folders:
        raise DataError(
            f"{path} holds {len(listing.images)} images, but not in class folders: the name of an"
            " image is train/daisy/1.jpg, or without splits daisy/1.jpg; or pass labels, a CSV file"
        )
    if _has_splits(listing, top, folders, split):
        return _arrange_splits(listing, top, folders, split, path)
    for name in folders:
        if is_split(name):
            raise DataError(
                f"{join(path, top, name)} has no class folders:"
                f" kapps reads class folders, so that an image is {name}/daisy/name.jpg"
            )
    labels, left_out = _label(listing.images, top, folders)
    _check_not_empty(join(path, top), folders, labels)
    start = len(top) + 1 if top else 0
    names = hold_out(labels, split, path, folders, lambda name: name[start:])
    split = hashed_split(split, path)
    return Layout(
        split, HASHED, True, tuple(folders), names, [labels[name] for name in names],
        listing.left_out | left_out,
    )  # fmt: skip


def is_held_out(name: str) -> bool:
    """Returns whether an image of a dataset without splits is for validation, by its name ("daisy/1.jpg")."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % _HELD_OUT == 0


def hold_out(
    labels: dict[str, int], split: str, path: str, class_names: list[str], relative: Callable
) -> list[str]:
    """Returns the names of the images of "train" or "validation", of a dataset without splits.

    Args:
        labels: {name: class number} of all images.
        split: the requested split.
        path: of the dataset, for errors.
        class_names: names of the classes.
        relative: function of a name that returns the name that decides.

    Raises:
        DataError: there is no such split, or a class has no image to train on.
    """
    evaluation = hashed_split(split, path) == "validation"
    names = [name for name in labels if is_held_out(relative(name)) == evaluation]
    if not evaluation:
        missing = set(labels.values()) - {labels[name] for name in names}
        if missing:
            number = min(missing)
            count = sum(label == number for label in labels.values())
            raise DataError(
                f"class {class_names[number]!r} of {path} has {count} images, and all are held out for"
                " validation: add some, or make train and validation folders"
            )
    return names


def join(*parts: str) -> str:
    """Returns the names of folders, without the empty ones, joined by "/"."""
    return "/".join(part.rstrip("/") if part != "/" else "" for part in parts if part)


def hashed_split(split: str, path: str) -> str:
    """Returns "train" or "validation", the splits of a dataset without splits, for a requested split."""
    if split.lower() in TEST:
        split = "validation"
    return select_split(split, HASHED, path)


def _common_folder(listing):
    """Returns the name of the folder that holds all others and is neither a split nor a class; "" if there is none."""
    top, parents = "", listing.with_folders()
    while True:
        folders = listing.children(top)
        if len(folders) != 1 or is_split(folders[0]) or listing.loose_images(top):
            return top
        inside = join(top, folders[0])
        if inside not in parents:
            return top
        top = inside


def _has_splits(listing, top, folders, split):
    """Returns whether the folders are splits: one is for training, or all have names of splits, or of the request."""
    parents = listing.with_folders()
    holding = [name for name in folders if (join(top, name)) in parents]
    if not holding:
        return False
    is_training = any(name.lower() in TRAINING for name in holding)
    return is_training or split in holding or all(map(is_split, folders))


def _arrange_splits(listing, top, folders, split, path):
    split = select_split(split, folders, path)
    root = join(top, split)
    own_classes = listing.children(root)
    training = next((name for name in folders if name.lower() in TRAINING), split)
    class_names = listing.children(join(top, training))
    unknown = [name for name in own_classes if name not in class_names]
    if unknown:
        raise DataError(
            f"{join(path, root)} has a class folder {unknown[0]!r} in {split} that the train split lacks:"
            f" delete it, or add one to {join(path, top, training)}"
        )
    if not own_classes:
        raise DataError(
            f"{join(path, root)} has no class folders: kapps reads class folders, so that an image is"
            f" {split}/daisy/name.jpg"
        )
    inside = [name for name in listing.images if name.startswith(f"{root}/")]
    labels, left_out = _label(inside, root, class_names)
    if split == training:
        _check_not_empty(join(path, root), class_names, labels)
    if not labels:
        raise DataError(
            f"{join(path, root)} holds no images for {split}:"
            f" it needs class folders with images ({' '.join(IMAGE_SUFFIXES)})"
        )
    others = tuple(f"{join(top, name)}/" for name in folders if name != split)
    outside = {
        name: "not in a split"
        for name in listing.images
        if not name.startswith((*others, f"{root}/"))
    }
    left_out |= outside | {
        name: reason for name, reason in listing.left_out.items() if not name.startswith(others)
    }
    return Layout(
        split,
        tuple(folders),
        False,
        tuple(class_names),
        list(labels),
        list(labels.values()),
        left_out,
    )


def _label(names, root, class_names):
    """Returns {name: class number} of the images in class folders, and {name: reason} of the others."""
    start = len(root) + 1 if root else 0
    numbers = {name: number for number, name in enumerate(class_names)}
    labels, left_out = {}, {}
    for name in names:
        folder, slash, _ = name[start:].partition("/")
        if slash and folder in numbers and name.startswith(root):
            labels[name] = numbers[folder]
        else:
            left_out[name] = "not in a class folder"
    # By class, as the folders are read one after the other.
    return dict(sorted(labels.items(), key=lambda item: item[1])), left_out


def _check_not_empty(root, class_names, labels):
    used = set(labels.values())
    for number, name in enumerate(class_names):
        if number not in used:
            raise DataError(
                f"class folder {join(root, name)} holds no images ({' '.join(IMAGE_SUFFIXES)})"
            )

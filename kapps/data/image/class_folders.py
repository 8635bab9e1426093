"""Reads images from class folders, or from a folder of images with a CSV file of labels."""

import os

from kapps._local_paths import local_path
from kapps.data.errors import DataError
from kapps.data.image.label_files import arrange_labels
from kapps.data.image.layout import arrange_folders
from kapps.data.image.listing import list_directory
from kapps.data.image.source import Source


def open_class_folders(
    directory: str | os.PathLike, split: str, labels: str | os.PathLike | None = None
) -> Source:
    """Opens class folders, `train/daisy/1.jpg`, or without splits `daisy/1.jpg`.

    Args:
        directory: the directory that holds the folders.
        split: "train", "validation", or another of the directory's.
        labels: a CSV file of the labels, for a directory without class folders.

    Raises:
        DataError: the directory has no class folders or lacks the split, or a class has no images to train on.
    """
    directory = os.fspath(local_path(directory, "directory"))
    listing = list_directory(directory)
    if labels is not None:
        layout = arrange_labels(listing, split, directory, labels)
    elif not listing.images and not listing.folders:
        raise DataError(
            f"data directory {directory} holds no images:"
            " kapps reads class folders (train/daisy/1.jpg), TFRecord shards with labels.txt,"
            " or a dataset that TFDS prepared"
        )
    else:
        layout = arrange_folders(listing, split, directory)
    paths, numbers, total, left_out = [], [], 0, dict(layout.left_out)
    for name, label in zip(layout.names, layout.labels, strict=True):
        path = os.path.join(directory, name)
        try:
            size = os.path.getsize(path)
        except OSError:
            size = -1
        if size > 0 and os.access(path, os.R_OK):
            paths.append(path)
            numbers.append(label)
            total += size
        else:
            left_out[name] = "empty" if size == 0 else "unreadable"
    if not paths:
        raise DataError(f"{directory} holds no images for {layout.split} that can be read")
    return Source(
        name=directory,
        split=layout.split,
        kind="folder",
        class_names=layout.class_names,
        examples=len(paths),
        bytes=total,
        files=tuple(paths),
        labels=tuple(numbers),
        root=directory,
        splits=layout.splits,
        held_out=layout.held_out,
        left_out=tuple(left_out.items()),
        notes=layout.notes,
    )

"""Reads the images of a .zip file of class folders.

All images of the split are read into memory, encoded. The format is for datasets of small images.
"""

import os
import zipfile
import zlib

from kapps._local_paths import local_path
from kapps.data.errors import DataError
from kapps.data.image.label_files import arrange_labels
from kapps.data.image.layout import arrange_folders
from kapps.data.image.listing import list_names
from kapps.data.image.source import Source

_MAX_BYTES = 2**31
"""Largest size of the images that are read from a .zip file."""


def open_zip(
    path: str | os.PathLike, split: str, labels: str | os.PathLike | None = None
) -> Source:
    """Opens a .zip file of class folders, `train/daisy/1.jpg`, or without splits `daisy/1.jpg`.

    Args:
        path: the file. Its folders may be inside one or more common folders.
        split: "train", "validation", or another of the file's.
        labels: a CSV file of the labels, for images that are not in class folders.

    Raises:
        DataError: the file cannot be read, or its images are too large or not in class folders.
    """
    path = os.fspath(local_path(path))
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.replace("\\", "/"): name for name in archive.namelist()}
            folders = {name.rstrip("/") for name in members if name.endswith("/")}
            listing = list_names([name for name in members if not name.endswith("/")], folders)
            if labels is not None:
                layout = arrange_labels(listing, split, path, labels)
            else:
                layout = arrange_folders(listing, split, path)
            total = sum(archive.getinfo(members[name]).file_size for name in layout.names)
            if total > _MAX_BYTES:
                raise DataError(
                    f"{path} holds {total:,} bytes of {layout.split} images, and kapps reads up to"
                    f" {_MAX_BYTES:,} into memory: unpack it, and pass the directory"
                )
            encoded, left_out = _read(archive, layout, members)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a readable .zip file: {reason}") from None
    labels = dict(zip(layout.names, layout.labels, strict=True))
    if not encoded:
        raise DataError(f"{path} holds no images for {layout.split} that can be read")
    return Source(
        name=path,
        split=layout.split,
        kind="archive",
        class_names=layout.class_names,
        examples=len(encoded),
        bytes=sum(map(len, encoded.values())),
        files=tuple(encoded),
        labels=tuple(labels[name] for name in encoded),
        encoded=tuple(encoded.values()),
        splits=layout.splits,
        held_out=layout.held_out,
        left_out=tuple((layout.left_out | left_out).items()),
        notes=layout.notes,
    )


def _read(archive, layout, members):
    """Returns {name: content} of the images, and {name: reason} of those that cannot be read."""
    encoded, left_out = {}, {}
    for name in layout.names:
        try:
            content = archive.read(members[name])
        except (zipfile.BadZipFile, zlib.error, EOFError):
            left_out[name] = "unreadable"
            continue
        if content:
            encoded[name] = content
        else:
            left_out[name] = "empty"
    return encoded, left_out

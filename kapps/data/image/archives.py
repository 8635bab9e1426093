"""Reads the images of a .zip file of class folders.

All images of the split are read into memory, encoded. The format is for datasets of small images.
"""

import os
import zipfile

from kapps._local_paths import local_path
from kapps.data.errors import DataError
from kapps.data.image.class_folders import is_held_out
from kapps.data.image.source import EVALUATION_SPLITS, IMAGE_SUFFIXES, Source, select_split

_MAX_BYTES = 2**31
"""Largest size of the images that are read from a .zip file."""


def open_zip(path: str | os.PathLike, split: str) -> Source:
    """Opens a .zip file of class folders, `train/daisy/1.jpg`, or without splits `daisy/1.jpg`.

    Args:
        path: the file. Its folders may be inside one or more common folders.
        split: "train", "validation", or another of the file's.

    Raises:
        DataError: the file cannot be read, or its images are too large or not in class folders.
    """
    path = os.fspath(local_path(path))
    try:
        with zipfile.ZipFile(path) as archive:
            split, class_names, names = _select_images(path, _image_names(archive), split)
            total = sum(archive.getinfo(name).file_size for name in names)
            if total > _MAX_BYTES:
                raise DataError(
                    f"{path} holds {total:,} bytes of {split} images, and kapps reads up to"
                    f" {_MAX_BYTES:,} into memory: unpack it, and pass the directory"
                )
            encoded = [archive.read(name) for name in names]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a readable .zip file: {reason}") from None
    labels = [class_names.index(name.split("/")[-2]) for name in names]
    return _source(path, split, class_names, names, labels, encoded)


def _image_names(archive: zipfile.ZipFile) -> list[str]:
    """Returns the names of the images, sorted, without the files that file managers add."""
    return sorted(
        name
        for name in archive.namelist()
        if name.lower().endswith(IMAGE_SUFFIXES)
        and not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    )


def _select_images(
    path: str, names: list[str], split: str
) -> tuple[str, tuple[str, ...], list[str]]:
    """Returns the split to read, the names of the classes, and the names of the split's images."""
    folders = {tuple(name.split("/")[:-1]) for name in names}
    common = _count_common_folders(folders)
    depths = {len(folder) - common for folder in folders}
    if depths == {1}:
        splits = ("train", "validation")
        split = select_split("validation" if split in EVALUATION_SPLITS else split, splits, path)
        evaluation = split == "validation"
        selected = [
            name for name in names if is_held_out("/".join(name.split("/")[common:])) == evaluation
        ]
        classes = {folder[-1] for folder in folders}
    elif depths == {2}:
        splits = {folder[-2] for folder in folders}
        split = select_split(split, sorted(splits), path)
        selected = [name for name in names if name.split("/")[-3] == split]
        reference = "train" if "train" in splits else split
        classes = {folder[-1] for folder in folders if folder[-2] == reference}
    else:
        raise DataError(
            f"{path} holds {len(names)} images, but not in class folders: in a .zip the name of an"
            " image is train/daisy/1.jpg, or without splits daisy/1.jpg"
        )
    unknown = sorted({name.split("/")[-2] for name in selected} - classes)
    if unknown:
        raise DataError(
            f"{path} has a class folder {unknown[0]!r} in {split} that its train split lacks:"
            " leave it out, or add it to train"
        )
    if not selected:
        raise DataError(f"{path} holds no images for {split}: add some")
    return split, tuple(sorted(classes)), selected


def _count_common_folders(folders: set[tuple[str, ...]]) -> int:
    """Returns the number of outer folders that hold all images and are neither a split nor a class."""
    count = 0
    for level in zip(*(folder[:-1] for folder in folders), strict=False):
        if len(set(level)) > 1 or level[0] in ("train", *EVALUATION_SPLITS):
            break
        count += 1
    return count


def _source(path, split, class_names, names, labels, encoded) -> Source:
    return Source(
        name=path,
        split=split,
        kind="archive",
        class_names=tuple(class_names),
        examples=len(names),
        bytes=sum(map(len, encoded)),
        files=tuple(names),
        labels=tuple(map(int, labels)),
        encoded=tuple(encoded),
    )

"""Sources that are one file: an .npz of arrays, or a .zip of class folders.

Both are read whole into memory, still encoded: they are for data sets of small images.
"""

import os
import pathlib
import zipfile

import tensorflow as tf

from kapps.data import records
from kapps.data.faults import DataError
from kapps.data.folders import for_evaluation
from kapps.data.sources import EVALUATION, SUFFIXES, Source, pick

_HALVES = ("train", "validation")
_MOST = 2**31
"""Bytes of a .zip's images that are read; more are better unpacked."""


def open_archive(path: str | os.PathLike, split: str) -> Source:
    """Opens one file of labelled images: see `kapps.data.open_source`, which calls this."""
    path = os.fspath(path)
    suffix = pathlib.Path(path).suffix.lower()
    if suffix == ".npz":
        return _arrays(path, split)
    if suffix == ".zip":
        return _zipped(path, split)
    raise DataError(
        f"{path} is a file: kapps reads .npz (x_train, y_train, x_test, y_test), .zip of class"
        " folders, or a directory"
    )


def _arrays(path, split):
    data = records.read_arrays(path)
    split = pick(split, data, path)
    images, labels = data[split]
    classes = records.classes(data)
    names = tuple(map(str, range(classes)))
    records.check(images, labels, names, split)
    if images.ndim == 3:
        images = images[..., None]
    found = tf.data.Dataset.from_tensor_slices(images)
    found = found.map(_png, tf.data.AUTOTUNE).batch(len(images))
    encoded = found.get_single_element().numpy()
    numbered = [f"image {number}" for number in range(len(images))]
    return _source(path, split, names, numbered, labels, encoded)


def _png(image):
    # The quickest compression takes a third of the usual one's time, and 3 % more room on MNIST.
    return tf.io.encode_png(image, compression=1)


def _zipped(path, split):
    try:
        with zipfile.ZipFile(path) as archive:
            split, class_names, chosen = _chosen(path, _members(archive), split)
            total = sum(archive.getinfo(name).file_size for name in chosen)
            if total > _MOST:
                raise DataError(
                    f"{path} holds {total:,} bytes of {split} images, and kapps reads up to"
                    f" {_MOST:,} into memory: unpack it, and give the directory"
                )
            encoded = [archive.read(name) for name in chosen]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is no readable .zip file: {reason}") from None
    labels = [class_names.index(name.split("/")[-2]) for name in chosen]
    return _source(path, split, class_names, list(chosen), labels, encoded)


def _members(archive):
    """Returns the images' names, in order; what file managers add for themselves is left out."""
    found = []
    for name in archive.namelist():
        hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
        if name.lower().endswith(SUFFIXES) and not hidden:
            found.append(name)
    return sorted(found)


def _chosen(path, names, split):
    """Returns the split, its class names and its images; the first folders may be common to all."""
    folders = {tuple(name.split("/")[:-1]) for name in names}
    depths = {len(folder) for folder in folders}
    common = _common(folders)
    depth = depths.pop() - common if len(depths) == 1 else 0
    if depth not in (1, 2):
        raise DataError(
            f"{path} holds {len(names)} images, but not in class folders: in a .zip each image"
            " is train/daisy/1.jpg, or without splits daisy/1.jpg"
        )
    if depth == 1:
        split = pick("validation" if split in EVALUATION else split, _HALVES, path)
        held = split == "validation"
        chosen = [name for name in names if for_evaluation(_below(name, common)) == held]
        classes = {folder[-1] for folder in folders}
    else:
        splits = {folder[-2] for folder in folders}
        split = pick(split, sorted(splits), path)
        chosen = [name for name in names if name.split("/")[-3] == split]
        settles = "train" if "train" in splits else split
        classes = {folder[-1] for folder in folders if folder[-2] == settles}
    strange = sorted({name.split("/")[-2] for name in chosen} - classes)
    if strange:
        raise DataError(
            f"{path} has a class folder {strange[0]!r} in {split} that its train split lacks:"
            " leave it out, or add it to train"
        )
    if not chosen:
        raise DataError(f"{path} holds no images for {split}: add some")
    return split, tuple(sorted(classes)), chosen


def _common(folders):
    """Returns how many folders, outermost first, all images lie in that are no split and no class."""
    count = 0
    for same in zip(*(folder[:-1] for folder in folders), strict=False):
        if len(set(same)) > 1 or same[0] in ("train", *EVALUATION):
            break
        count += 1
    return count


def _below(name, common):
    return "/".join(name.split("/")[common:])


def _source(path, split, class_names, names, labels, encoded):
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

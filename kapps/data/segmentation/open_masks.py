"""`open_masks`: chooses the reader for a dataset of images with masks."""

import os
import pathlib
import tempfile
import zipfile
import zlib

from kapps._local_paths import local_path
from kapps.data.errors import DataError, checked_data
from kapps.data.image.listing import list_directory, list_names
from kapps.data.image.shard_names import find_shards
from kapps.data.segmentation.digit_scenes import DIGIT_SCENES, open_digit_scenes
from kapps.data.segmentation.mask_classes import CLASS_FILES, VOID, MaskClasses, read_mask_classes
from kapps.data.segmentation.mask_folders import arrange_pairs
from kapps.data.segmentation.mask_records import open_mask_shards, open_mask_tfds
from kapps.data.segmentation.mask_source import MaskSource, merge_sources
from kapps.data.text_files import read_lines

_MAX_BYTES = 2**31
"""Largest size of the images and masks that are read from a .zip file."""


@checked_data
def open_masks(
    dataset: str | None = None,
    data_dir: str | os.PathLike | None = None,
    split: str = "train",
    *,
    classes: str | os.PathLike | int | None = None,
    void: int = VOID,
) -> MaskSource:
    """Opens a dataset of images with masks. A mask has the class of each pixel, at the size of its image.

    Masks are PNG files of at most 8 bits: grey, whose pixels are numbers; with a palette, whose indices are numbers;
    or in colours, if the file of classes has them.

    Args:
        dataset: "digit_scenes", which is part of kapps; the name of a TFDS dataset, such as "oxford_iiit_pet"; or
            `None` to read `data_dir`.
        data_dir: with a TFDS dataset, the directory where TFDS keeps its datasets. Without `dataset`, one of

            - a directory of images and masks: train/images/1.jpg and train/masks/1.png; images/train/1.jpg and
              masks/train/1.png; train/1.jpg and trainannot/1.png; without splits images/1.jpg and masks/1.png; or
              those of PASCAL VOC (see `kapps.data.segmentation.mask_folders`)
            - a .zip file of such a directory
            - a directory of TFRecord shards with "image" and "mask"
            - a directory that TFDS prepared
        split: as for `kapps.data.open_source`, or several of one dataset: "train+val". Without splits, about a fifth
            of the images is "validation", by the hash of their names.
        classes: file of the classes and their colours, or the number of classes (see
            `kapps.data.segmentation.read_mask_classes`). The default is classes.csv, classes.txt or labels.txt of the
            dataset.
        void: value in the masks of pixels without a class. They count neither in the loss nor in metrics.

    Raises:
        DataError: the dataset cannot be read. The message is one line.
    """
    if data_dir is not None and os.fspath(data_dir):
        data_dir = local_path(data_dir, "data_dir")
    return merge_sources(
        [_open_split(dataset, data_dir, part, classes, void) for part in split.split("+")]
    )


def _open_split(dataset, data_dir, split, classes, void):
    if dataset == DIGIT_SCENES:
        if data_dir or classes is not None:
            raise DataError(
                f"{DIGIT_SCENES} is part of kapps and has its own classes: pass no data_dir and no classes"
            )
        return open_digit_scenes(split)
    if dataset:
        return open_mask_tfds(dataset, data_dir, split, _classes(classes, None, void, dataset))
    if not data_dir:
        raise DataError(
            f"no data: pass the name of a dataset, such as {DIGIT_SCENES}, or a directory"
        )
    path = os.path.abspath(data_dir)
    if os.path.isfile(path):
        if not path.lower().endswith(".zip"):
            raise DataError(
                f"{path} is a file: kapps reads images with masks from a .zip file, or from a directory"
            )
        return _open_zip(path, split, classes, void)
    if not os.path.isdir(path):
        raise DataError(f"data directory {data_dir} does not exist: pass one that holds images")
    class_file = next(
        (file for name in CLASS_FILES if os.path.isfile(file := f"{path}/{name}")), None
    )
    if os.path.isfile(os.path.join(path, "dataset_info.json")):
        return open_mask_tfds(None, path, split, _classes(classes, class_file, void, path))
    if find_shards(path):
        return open_mask_shards(path, split, _classes(classes, class_file, void, path))
    return _open_folders(path, split, classes, void)


def _classes(classes, class_file, void: int, name: str) -> MaskClasses:
    """Returns the classes that are passed, or those of a file in the dataset."""
    if classes is None and class_file is None:
        raise DataError(
            f"{name} has no {', '.join(CLASS_FILES[:-1])} or {CLASS_FILES[-1]}: pass classes, a file of them or their"
            " number"
        )
    return read_mask_classes(class_file if classes is None else classes, void)


def _find_class_file(listing) -> str | None:
    """Returns the name of a file of classes in a listing, and takes it out of the files that are left out."""
    names = [name for name in listing.left_out if name.rpartition("/")[2] in CLASS_FILES]
    class_file = min(
        names,
        key=lambda name: (name.count("/"), CLASS_FILES.index(name.rpartition("/")[2])),
        default=None,
    )
    if class_file is not None:
        del listing.left_out[class_file]
    return class_file


def _open_folders(directory: str, split: str, passed, void: int) -> MaskSource:
    listing = list_directory(directory)
    class_file = _find_class_file(listing)
    classes = _classes(passed, class_file and os.path.join(directory, class_file), void, directory)
    layout = arrange_pairs(
        listing, split, directory, lambda name: read_lines(os.path.join(directory, name))
    )
    pairs, total, left_out = [], 0, dict(layout.left_out)
    for names in zip(layout.images, layout.masks, strict=True):
        paths = [os.path.join(directory, name) for name in names]
        sizes = [_size(path) for path in paths]
        if min(sizes) > 0:
            pairs.append(paths)
            total += sum(sizes)
        else:
            bad = names[0] if sizes[0] <= 0 else names[1]
            left_out[bad] = "empty" if 0 in sizes else "unreadable"
    if not pairs:
        raise DataError(
            f"{directory} holds no images with masks for {layout.split} that can be read"
        )
    images, masks = zip(*pairs, strict=True)
    return MaskSource(
        name=directory, kind="folder", examples=len(images), bytes=total, files=images, masks=masks,
        root=directory, **_fields(layout, classes, left_out),
    )  # fmt: skip


def _size(path) -> int:
    """Returns the size of a file; -1 if it cannot be read."""
    try:
        return os.path.getsize(path) if os.access(path, os.R_OK) else -1
    except OSError:
        return -1


def _fields(layout, classes, left_out) -> dict:
    return {
        "split": layout.split,
        "splits": layout.splits,
        "held_out": layout.held_out,
        "class_names": classes.names,
        "classes": classes,
        "left_out": tuple(left_out.items()),
    }


def _open_zip(path: str, split: str, passed, void: int) -> MaskSource:
    """Opens a .zip file. All images and masks of the split are read into memory, encoded."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.replace("\\", "/"): name for name in archive.namelist()}
            folders = {name.rstrip("/") for name in members if name.endswith("/")}
            listing = list_names([name for name in members if not name.endswith("/")], folders)
            class_file = _find_class_file(listing)
            if passed is None and class_file is not None:
                classes = _read_member(
                    archive, members[class_file], lambda x: read_mask_classes(x, void)
                )
            else:
                classes = _classes(passed, None, void, path)
            layout = arrange_pairs(
                listing, split, path, lambda name: _read_member(archive, members[name], read_lines)
            )
            names = [*layout.images, *layout.masks]
            total = sum(archive.getinfo(members[name]).file_size for name in names)
            if total > _MAX_BYTES:
                raise DataError(
                    f"{path} holds {total:,} bytes of {layout.split} images and masks, and kapps reads up to"
                    f" {_MAX_BYTES:,} into memory: unpack it, and pass the directory"
                )
            pairs, left_out = {}, dict(layout.left_out)
            for image, mask in zip(layout.images, layout.masks, strict=True):
                contents = [_read(archive, members[name]) for name in (image, mask)]
                if all(contents):
                    pairs[image, mask] = contents
                else:
                    bad = contents.index(next(content for content in contents if not content))
                    reason = "empty" if contents[bad] == b"" else "unreadable"
                    left_out[(image, mask)[bad]] = reason
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a readable .zip file: {reason}") from None
    if not pairs:
        raise DataError(f"{path} holds no images with masks for {layout.split} that can be read")
    images, masks = zip(*pairs, strict=True)
    encoded, encoded_masks = zip(*pairs.values(), strict=True)
    return MaskSource(
        name=path, kind="archive", examples=len(images), files=images, masks=masks, encoded=encoded,
        encoded_masks=encoded_masks, bytes=sum(map(len, encoded + encoded_masks)),
        **_fields(layout, classes, left_out),
    )  # fmt: skip


def _read(archive, member) -> bytes | None:
    """Returns the content of a file of an archive, or `None` if it cannot be read."""
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return None


def _read_member(archive, member, read):
    """Returns what a function of a path reads from a text file of an archive; errors name the file and the archive."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, pathlib.PurePosixPath(member.replace("\\", "/")).name)
        path.write_bytes(archive.read(member))
        try:
            return read(path)
        except DataError as error:
            text = str(error).replace(str(path), f"{archive.filename}/{member}")
            raise DataError(text) from None

"""Reads a folder of images with a file of captions.

    photos/captions.csv     # image,caption and a line for each caption; captions.tsv and captions.txt are the same
    photos/images/1.jpg     # or photos/1.jpg

The first line may name the columns: image, caption, and split. Without a column of splits, and without folders
train/ and validation/ that each have a file of captions, a fifth of the images is held out for validation, by their
names. A line of a file without commas may have a tab, as Flickr8k.token.txt: "1.jpg#0<tab>A child."
"""

import csv
import io
import os
import pathlib

from kapps._checked import checked
from kapps._local_paths import local_path
from kapps.data.captions.captioned_images import CaptionedImages
from kapps.data.errors import DataError
from kapps.data.image.layout import hashed_split, is_held_out
from kapps.data.image.splits import is_split, select_split
from kapps.data.text_files import read_text_file

CAPTION_FILES = ("captions.csv", "captions.tsv", "captions.txt")
IMAGE_FOLDERS = ("", "images", "Images", "image")
"""Folders of the images, next to the file of captions."""
COLUMNS = {
    "image": ("image", "file", "file_name", "filename", "path"),
    "caption": ("caption", "text", "sentence", "comment"),
    "split": ("split",),
}
"""Names of the columns in the first line."""


@checked
def open_captions(directory: str | os.PathLike, split: str = "train") -> CaptionedImages:
    """Returns the images of a folder and their captions. The images are read when a batch needs them.

    Args:
        directory: the folder.
        split: "train", "validation", or one of the dataset's.

    Raises:
        DataError: there is no folder or no file of captions, a line of it has no image or no caption, an image does not
            exist, or there is no such split.
    """
    directory = local_path(directory, "directory")
    if not directory.is_dir():
        raise DataError(f"there is no folder {directory}")
    if _find_file(directory) is None:
        folders = [path.name for path in sorted(directory.iterdir()) if is_split(path.name)]
        folders = [name for name in folders if _find_file(directory / name)]
        if not folders:
            raise DataError(
                f"{directory} has no file of captions: write {CAPTION_FILES[0]} with lines of image,caption"
            )
        split = select_split(split, folders, str(directory))
        return _captioned(directory, split, _read_rows(directory / split))
    rows = _read_rows(directory)
    if any(row[2] for row in rows):
        split = select_split(split, dict.fromkeys(row[2] for row in rows), str(directory))
        return _captioned(directory, split, [row for row in rows if row[2] == split])
    split = hashed_split(split, str(directory))
    is_validation = split == "validation"
    rows = [row for row in rows if is_held_out(row[0]) == is_validation]
    return _captioned(directory, split, rows)


def _find_file(folder):
    """Returns the path of the file of captions of a folder, or None."""
    return next((folder / name for name in CAPTION_FILES if (folder / name).is_file()), None)


def _read_rows(folder):
    """Returns (name of the image, caption, split or "", path) of each line of a folder's file of captions."""
    path = _find_file(folder)
    text = read_text_file(path)
    lines = [line for line in text.split("\n") if line.strip()]
    delimiter = "\t" if path.suffix == ".tsv" or all("\t" in line for line in lines) else ","
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    columns, rows, paths = None, [], {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns, is_header = _find_columns(cells)
            if is_header:
                continue
        name, caption, split = (
            cells[i].strip() if i is not None and i < len(cells) else ""
            for i in (columns[key] for key in ("image", "caption", "split"))
        )
        if columns["split"] is None and len(cells) > 2 and delimiter == ",":
            caption = ",".join(cells[columns["caption"] :]).strip()  # commas without quotes
        name = name.rpartition("#")[0] if name.rpartition("#")[2].isdecimal() else name
        if not name or not caption:
            raise DataError(
                f"{path}, line {reader.line_num:,}: it has no {'caption' if name else 'image'}: write"
                f" image{'<tab>' if delimiter != ',' else ','}caption"
            )
        if name not in paths:
            paths[name] = _find_image(folder, name, path, reader.line_num)
        rows.append((name, caption, split, paths[name]))
    return rows


def _find_columns(cells):
    """Returns the number of each column, None for no splits, and whether the cells are their names."""
    names = [cell.strip().lower() for cell in cells]
    columns = {
        key: next((i for i, name in enumerate(names) if name in allowed), None)
        for key, allowed in COLUMNS.items()
    }
    if columns["image"] is not None and columns["caption"] is not None:
        return columns, True
    return {"image": 0, "caption": 1, "split": None}, False


def _find_image(folder, name, captions, line):
    """Returns the path of an image."""
    if os.path.isabs(name) or ".." in pathlib.PurePath(name).parts:
        raise DataError(
            f"{captions}, line {line:,}: {name} is not in {folder}: write its name there"
        )
    for inside in IMAGE_FOLDERS:
        path = folder / inside / name
        if path.is_file():
            return str(path)
    raise DataError(f"{captions}, line {line:,}: there is no image {folder / name}")


def _captioned(directory, split, rows):
    """Returns the images of rows, with all captions of each."""
    captions, paths = {}, {}
    for name, caption, _, path in rows:
        captions.setdefault(name, []).append(caption)
        paths[name] = path
    return CaptionedImages(
        str(directory), split, tuple(paths.values()), tuple(map(tuple, captions.values())), tuple(paths)
    )  # fmt: skip

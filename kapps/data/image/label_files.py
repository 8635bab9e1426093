"""Labels of images in a CSV file: a column of file names and a column of labels, and optionally one of splits."""

import csv
import dataclasses
import os

from kapps.data.errors import DataError
from kapps.data.image.layout import HASHED, Layout, hashed_split, hold_out
from kapps.data.image.listing import IMAGE_SUFFIXES, Listing
from kapps.data.image.splits import select_split
from kapps.data.text_files import read_text_file

_DELIMITERS = (",", ";", "\t", "|", " ")
_LABEL_COLUMNS = (
    "label", "labels", "class", "class_name", "classname", "class_id", "target", "category", "species", "breed",
    "diagnosis", "y",
)  # fmt: skip
_FILE_COLUMNS = (
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_id", "image_name", "image_path",
    "img", "id", "name",
)  # fmt: skip
_SPLIT_COLUMNS = ("split", "subset", "set", "partition", "usage", "fold_name")
_LISTED = 3


@dataclasses.dataclass
class _Columns:
    """The rows of a file, and the numbers of its columns.

    Args:
        rows: (number of the line, fields) of each row, without the header.
        file: column of the file names.
        label: column of the labels.
        split: column of the splits, or `None`.
        description: what was recognised.
    """

    rows: list[tuple[int, list[str]]]
    file: int
    label: int
    split: int | None
    description: str


def arrange_labels(listing: Listing, split: str, path: str, labels: str | os.PathLike) -> Layout:
    """Returns the images of a split, with the labels of a CSV file.

    The delimiter is a comma, a semicolon, a tab, a vertical bar or a space. A header is optional. The column of the
    file names is the one that names images of the dataset: by their paths, by their names, or without their suffixes.
    Images without a label are left out, and labels without an image are counted.

    Args:
        listing: the files of the dataset.
        split: the requested split: a value of a column such as "split"; without one a fifth of each class is held out.
        path: of the dataset, for errors.
        labels: the CSV file: its path, or its name in the dataset's directory.

    Raises:
        DataError: the file cannot be read, has no column of file names or of labels, or gives an image two labels.
    """
    labels = os.path.expanduser(os.fspath(labels))
    if not os.path.exists(labels) and os.path.exists(os.path.join(path, labels)):
        labels = os.path.join(path, labels)
    if not listing.images:
        raise DataError(f"{path} holds no images ({' '.join(IMAGE_SUFFIXES)}) for {labels}")
    find = _ImageNames(listing.images)
    columns = _read_columns(labels, find)
    names, splits, missing, unlabelled = {}, {}, [], 0
    for line, fields in columns.rows:
        where = f"{labels}, line {line:,}"
        field, label = fields[columns.file], fields[columns.label]
        name = find(field)
        if isinstance(name, list):
            raise DataError(
                f"{where}: {field!r} is the name of {len(name)} images, such as {name[0]} and"
                f" {name[1]}: write their paths in {path}"
            )
        if name is None:
            missing.append(field)
        elif not label:
            unlabelled += 1
        elif names.setdefault(name, label) != label:
            raise DataError(
                f"{where}: {field!r} has the label {label!r}, and {names[name]!r} before: an image has one label"
            )
        elif columns.split is not None:
            splits[name] = fields[columns.split]
    if not names:
        raise DataError(f"{labels} has no label for an image of {path}")
    class_names = _sort(set(names.values()))
    numbers = {name: number for number, name in enumerate(class_names)}
    numbered = {name: numbers[names[name]] for name in sorted(names)}
    left_out = listing.left_out | {
        name: "without a label" for name in listing.images if name not in names
    }
    left_out.pop(os.path.relpath(labels, path).replace(os.sep, "/"), None)
    if columns.split is None:
        selected = hold_out(numbered, split, path, class_names, lambda name: name)
        all_splits, held_out, split = HASHED, True, hashed_split(split, path)
    else:
        left_out |= {name: "without a split" for name, value in splits.items() if not value}
        all_splits = tuple(dict.fromkeys(value for value in splits.values() if value))
        split, held_out = select_split(split, all_splits, labels), False
        selected = [name for name in numbered if splits[name] == split]
    notes = [columns.description]
    if missing:
        listed = ", ".join(missing[:_LISTED]) + ", ..." * (len(missing) > _LISTED)
        notes.append(f"{len(missing):,} labels without an image ({listed})")
    if unlabelled:
        notes.append(f"{unlabelled:,} rows without a label")
    return Layout(
        split, all_splits, held_out, tuple(class_names), selected, [numbered[name] for name in selected],
        left_out, tuple(notes),
    )  # fmt: skip


class _ImageNames:
    """Finds an image by a field of a CSV file.

    Args:
        images: names of the images in the dataset.
    """

    def __init__(self, images: list[str]):
        self._images = set(images)
        self._short = {}
        for name in images:
            base = name.rpartition("/")[2]
            stem = os.path.splitext(name)[0]
            for short in {base, stem, os.path.splitext(base)[0]} - {name}:
                self._short.setdefault(short, []).append(name)

    def __call__(self, field: str) -> str | list[str] | None:
        """Returns the name of an image, the names of several, or `None`."""
        field = field.strip().replace("\\", "/").removeprefix("./")
        if field in self._images:
            return field
        # A path that starts elsewhere: its end names the image.
        parts = field.split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            if end in self._images:
                return end
            if names := self._short.get(end):
                return names[0] if len(names) == 1 else names
        return None


def _read_columns(path, find) -> _Columns:
    """Returns the rows of a CSV file and its columns, with the delimiter that names most images."""
    lines = read_text_file(path).split("\n")
    readings = [_split_rows(path, lines, delimiter) for delimiter in _DELIMITERS]
    counts = [max(_matches(rows, width, find), default=0) for rows, width in readings]
    best = max(range(len(counts)), key=counts.__getitem__)
    rows, width = readings[best]
    if not counts[best]:
        first = next((line for line in lines if line.strip()), "")[:60]
        raise DataError(
            f"{path} has no column that names images of the dataset, next to a column of labels; its"
            f" first line is {first!r}: write rows such as 1.jpg,daisy"
        )
    matches = _matches(rows, width, find)
    file = max(range(width), key=matches.__getitem__)
    header = [field.strip().lower() for field in rows[0][1]]
    column_names = (*_FILE_COLUMNS, *_LABEL_COLUMNS, *_SPLIT_COLUMNS)
    others_match = all(len(fields) > file and find(fields[file]) for _, fields in rows[1:])
    is_image = rows[0][1][file].lower().endswith(IMAGE_SUFFIXES)
    has_header = find(rows[0][1][file]) is None and (
        any(field in column_names for field in header) or (others_match and not is_image)
    )
    names = rows[0][1] if has_header else [f"column {i + 1}" for i in range(width)]
    rows = rows[1:] if has_header else rows
    split = next((i for i, name in enumerate(header) if name in _SPLIT_COLUMNS), None)
    split = split if has_header and split != file else None
    others = [i for i in range(width) if i not in (file, split)]
    label = others[0] if len(others) == 1 else None
    if label is None and has_header:
        label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
        label = label if label in others else None
    if label is None:
        raise DataError(
            f"{path} has the columns {', '.join(names)}, and none is named label or class: keep the columns of"
            " file names and labels, or name the one of the labels label"
        )
    for line, fields in rows:
        if len(fields) != width:
            raise DataError(f"{path}, line {line:,}: {len(fields)} fields, not {width}")
    stripped = [(line, [field.strip() for field in fields]) for line, fields in rows]
    description = f"labels of {os.path.basename(path)}: {names[file]}, {names[label]}" + (
        "" if split is None else f", {names[split]}"
    )
    return _Columns(stripped, file, label, split, description)


def _split_rows(path, lines, delimiter):
    """Returns (number of the line, fields) of each row that is not blank, and the number of fields of the first."""
    # The module csv joins the lines of a quoted field, so that lines are counted by it.
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(reader.line_num, fields) for fields in reader if any(map(str.strip, fields))]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num:,}: {error}") from None
    width = len(rows[0][1]) if rows else 0
    is_table = width > 1 and (delimiter != " " or all(len(fields) == width for _, fields in rows))
    return rows, width if is_table else 0


def _matches(rows, width, find):
    """Returns for each column how many different fields of it name images. Numbers of classes name few."""
    columns = ({fields[i] for _, fields in rows if len(fields) > i} for i in range(width))
    return [sum(find(field) is not None for field in column) for column in columns]


def _sort(names):
    """Returns class names sorted: by their numbers if all are numbers, and else by their characters."""
    if all(name.isascii() and name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)

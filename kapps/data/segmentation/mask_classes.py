"""The classes of masks: their names, their numbers or colours in the files, and the void label."""

import csv
import dataclasses
import functools
import os
import pathlib

import numpy as np

from kapps._values import is_integer
from kapps.data.errors import DataError
from kapps.data.text_files import check_class_names, read_class_names, read_text_file

VOID = 255
"""The number of a pixel without a class in label maps, whatever it is in the files."""
INVALID = 254
"""The number of a pixel whose value in the file is neither a class nor void."""
MAX_CLASSES = 254
CLASS_FILES = ("classes.csv", "class_dict.csv", "classes.txt", "labels.txt")
"""Names of files of classes that are found in a dataset's directory."""
_NAME = ("name", "class", "class_name", "label")
_VALUE = ("value", "id", "number", "index")
_COLOURS = (("r", "red"), ("g", "green"), ("b", "blue"))
_ALLOWED = "the columns name, and optionally value, and r, g, b"


@dataclasses.dataclass(frozen=True)
class MaskClasses:
    """The classes of the pixels of masks.

    Args:
        names: of the classes, in the order of their numbers in label maps.
        values: number of each class in masks of numbers.
        colours: (red, green, blue) of each class, in [0, 255], for plots and for masks of colours.
        void: number of pixels without a class in masks of numbers.
        void_colours: colours of pixels without a class.
        has_palette: whether the colours are those of the masks; otherwise they are those of PASCAL VOC, for plots.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    colours: tuple[tuple[int, int, int], ...]
    void: int = VOID
    void_colours: tuple[tuple[int, int, int], ...] = ()
    has_palette: bool = False

    def table(self) -> np.ndarray:
        """Returns the class of each value of a mask, uint8 [256]: also `VOID` and `INVALID`."""
        table = np.full(256, INVALID, np.uint8)
        table[self.void] = VOID
        table[list(self.values)] = np.arange(len(self.values))
        return table

    def palette(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the colours in order, int32 [n], red * 65,536 + green * 256 + blue, and their classes, uint8 [n]."""
        colours = [*self.colours, *self.void_colours] if self.has_palette else []
        codes = np.array([r << 16 | g << 8 | b for r, g, b in colours], np.int32)
        numbers = [*range(len(self.colours)), *[VOID] * len(self.void_colours)]
        order = np.argsort(codes, kind="stable")
        return codes[order], np.array(numbers, np.uint8)[order] if colours else np.zeros(
            0, np.uint8
        )

    def describe(self) -> str:
        """Returns the values of the classes, for errors: "0..20", or a list."""
        if self.values == tuple(range(self.values[0], self.values[0] + len(self.values))):
            return f"{self.values[0]}..{self.values[-1]}"
        return ", ".join(map(str, self.values))


def voc_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Returns the first colours of PASCAL VOC: the bits of a number, spread over red, green and blue."""
    colours = []
    for number in range(count):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
        colours.append(tuple(channels))
    return tuple(colours)


def read_mask_classes(classes: str | os.PathLike | int, void: int = VOID) -> MaskClasses:
    """Returns the classes of masks from a file, or for a number of classes.

    Args:
        classes: a text file of class names, one per line; the number of a line is the number of the class. Or a .csv
            file with a first line of the names of its columns: name; optionally value, the number in the masks
            (otherwise the number of the row); and optionally r, g and b, the colour in the masks. A row whose value is
            `void` is not a class, and its colour is void too. Or a number of classes, which have numbers as names.
        void: number in the masks of pixels without a class, from 0 to 255.

    Raises:
        DataError: the file cannot be read, or does not describe 2 to 254 classes.
    """
    if not is_integer(void, 0, 255):
        raise DataError(f"void={void!r} is not a value of a mask: pass an integer from 0 to 255")
    if isinstance(classes, int):
        if not is_integer(classes, 2, MAX_CLASSES):
            raise DataError(f"classes={classes!r}: pass 2 to {MAX_CLASSES} classes, or a file")
        values = [value for value in range(classes + 1) if value != void][:classes]
        names = tuple(map(str, values))
        return MaskClasses(names, tuple(values), voc_colours(classes), void)
    if pathlib.PurePath(classes).suffix.lower() == ".csv":
        return _read_csv(classes, void)
    names = read_class_names(classes)
    rows = [(name, value, None) for value, name in enumerate(names)]
    return _make(rows, void, str(classes))


def _read_csv(path, void: int) -> MaskClasses:
    lines = list(csv.reader(read_text_file(path).split("\n")))
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    name, value, *channels = (
        next((header.index(word) for word in words if word in header), None)
        for words in (_NAME, _VALUE, *_COLOURS)
    )
    if name is None or (None in channels and channels != [None] * 3):
        raise DataError(
            f"{path} has the columns {', '.join(header) or 'none'}: kapps reads {_ALLOWED}"
        )
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {number}: it has {len(cells)} cells, and the first line {len(header)}"
            )
        read = functools.partial(_read_byte, path, number, header, cells)
        colour = None if None in channels else tuple(map(read, channels))
        rows.append((cells[name].strip(), len(rows) if value is None else read(value), colour))
    return _make(rows, void, str(path))


def _read_byte(path, number, header, cells, column) -> int:
    """Returns the integer from 0 to 255 in a cell of a line."""
    text = cells[column].strip()
    if text.isdecimal() and len(text) < 4 and int(text) < 256:
        return int(text)
    raise DataError(
        f"{path}, line {number}: {header[column]} is {text!r}, not an integer from 0 to 255"
    )


def _make(rows, void, path) -> MaskClasses:
    """Returns the classes for rows of (name, value, colour or None)."""
    classes = [row for row in rows if row[1] != void]
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise DataError(
            f"{path} has {len(classes)} classes without void={void}: kapps reads 2 to {MAX_CLASSES}"
        )
    for kind, index in (("name", 0), ("value", 1), ("colour", 2)):
        # A class may not share its colour with void either.
        cells = [row[index] for row in (rows if kind == "colour" else classes)]
        twice = next((cell for cell in cells if cell is not None and cells.count(cell) > 1), None)
        if twice is not None:
            raise DataError(f"{path} has the {kind} {twice} twice: each class has its own")
    names, values, colours = zip(*classes, strict=True)
    check_class_names(names, path)
    has_palette = None not in colours
    return MaskClasses(
        names=names,
        values=values,
        colours=colours if has_palette else voc_colours(len(names)),
        void=void,
        void_colours=tuple(row[2] for row in rows if row[1] == void) if has_palette else (),
        has_palette=has_palette,
    )

"""A series of numbers in a column of a text file, whose delimiter, decimal sign and header are recognised."""

import collections
import csv
import dataclasses
import io
import math
import os
import re

import numpy as np

from kapps._checked import checked
from kapps.cards import nearest
from kapps.data.errors import DataError
from kapps.data.sequence.numbers_in_text import MISSING, NumberFormat, number_format
from kapps.data.text_files import read_text_file

_DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','", " ": "spaces", "": "none"}
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_Row = tuple[int, list[str]]


@dataclasses.dataclass(frozen=True)
class ValueSeries:
    """A series of numbers.

    Args:
        values: float64 [time].
        description: one line: number of values, file, column, and what was recognised.
    """

    values: np.ndarray
    description: str


@checked
def read_value_series(path: str | os.PathLike, column: str | None = None) -> ValueSeries:
    """Reads a series of numbers from a column of a text file.

    Delimiters are commas, semicolons, tabs, vertical bars or spaces. Numbers have decimal points or commas, and may
    have separators of thousands. One header row, quotes, blank lines and a byte order mark are recognised.

    Args:
        path: the file.
        column: name or number (from 1) of the column. `None` is the last.

    Raises:
        DataError: the file cannot be read, a row has another number of fields, or a value is missing, infinite or not a
            number. The message names the row, the number of the line in the file.
    """
    lines = read_text_file(path).split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), None)
    if first is None:
        raise DataError(f"{path} is empty: pass a file with one value per line")
    if match := re.fullmatch(r"sep=(.)", lines[first].strip()):  # of Excel
        reading = _read(path, lines, first + 1, match[1], column)
    else:
        reading = _choose(path, lines, first, column)
    return ValueSeries(reading.values, f"{len(reading.values):,} values of {reading.description}")


@dataclasses.dataclass(frozen=True)
class _Reading:
    """The values of a file with one delimiter.

    Args:
        delimiter: the delimiter; "" for one column and " " for white space.
        values: float64 [time].
        header: fields of the header row; [] without one.
        firsts: the first field of each row of values.
        description: column, file, and what was recognised.
    """

    delimiter: str
    values: np.ndarray
    header: list[str]
    firsts: list[str]
    description: str


def _choose(path, lines: list[str], first: int, column: str | None) -> _Reading:
    """Returns the reading with the delimiter that fits the file.

    Raises:
        DataError: no delimiter fits, or two fit and give different values.
    """
    unquoted = [re.sub('"[^"]*"', "x", line.strip(" ")) for line in lines[first:] if line.strip()]
    often = [
        sign for sign in ";\t|, " if 2 * sum(sign in line for line in unquoted) >= len(unquoted)
    ]
    strong = [sign for sign in often if sign in ";\t|"]
    # A delimiter that the first line lacks is the least likely.
    candidates = strong[:1] or sorted([*often, ""], key=lambda sign: sign not in unquoted[0])
    readings, errors = [], []
    for delimiter in candidates:
        try:
            readings.append(_read(path, lines, first, delimiter, column))
        except DataError as error:
            errors.append(error)
    if not readings:
        raise errors[0]
    with_header = [r for r in readings if len(r.header) > 1]
    readings = with_header or readings
    if len(readings) > 1 and not with_header:
        readings = _prefer(readings, unquoted)
    if any(not np.array_equal(r.values, readings[0].values) for r in readings[1:]):
        signs = " or ".join(_DELIMITERS[r.delimiter] for r in readings)
        raise DataError(
            f"{path}: the delimiter of {unquoted[-1][:40]!r} may be {signs}: add a header row, or write decimal points"
        )
    return readings[0]


def _prefer(readings: list[_Reading], rows: list[str]) -> list[_Reading]:
    """Returns the readings of a file without header that its numbers allow, or the one they show to be right."""
    by_delimiter = {reading.delimiter: reading for reading in readings}
    # 12,05 and -0,5 are decimal numbers, and so is the end of 2024-01-01 0,5.
    if any(re.search(r",0\d|^-0,", row) for row in rows):
        by_delimiter.pop(",", None)
    if all(re.search(r"\s[+-]?\d+,\d+$", row) for row in rows):
        by_delimiter = {" ": by_delimiter[" "]} if " " in by_delimiter else by_delimiter
    for reading in by_delimiter.values():
        numbers = (
            [NumberFormat().parse(text) for text in reading.firsts] if reading.delimiter else []
        )
        if len(numbers) > 1 and None not in numbers and set(np.diff(numbers)) == {1.0}:
            return [reading]  # the first column counts the rows
    return list(by_delimiter.values())


def _read(path, lines: list[str], first: int, delimiter: str, column: str | None) -> _Reading:
    """Returns the reading of the lines from `first` with a delimiter."""
    rows = _drop_empty_columns(_split(path, lines, first, delimiter))
    if not rows:
        raise DataError(f"{path} has no row of values")
    width = collections.Counter(len(row) for _, row in rows).most_common(1)[0][0]
    sign = _DELIMITERS.get(delimiter, repr(delimiter))
    for number, row in rows:
        if len(row) != width:
            raise DataError(
                f"{path}, row {number:,}: {len(row)} fields, but {width} in other rows (delimiter {sign})"
            )
    index = _column_index(path, rows[0][1], width, column)
    texts = [row[index] for _, row in rows]
    form = number_format(texts)
    if form is None and delimiter == ",":
        form = NumberFormat(".", ",")  # numbers in quotes
    if form is None:
        text = next(text for text in texts if "," in text)
        raise DataError(
            f"{path}: {text!r} may have a decimal comma or a separator of thousands: write decimal points"
        )
    is_value = form.parse(texts[0]) is not None or texts[0].lower() in MISSING
    header = [] if is_value or _INFINITE.fullmatch(texts[0]) else rows[0][1]
    rows = rows[1:] if header else rows
    if not rows:
        raise DataError(f"{path} has a header row and no values")
    values = np.array([_number(path, number, row[index], form) for number, row in rows])
    name = repr(header[index]) if header else f"{index + 1}"
    heading = "1 header row" if header else "no header row"
    description = f"column {name} in {path}: delimiter {sign}, {form.describe()}, {heading}"
    return _Reading(delimiter, values, header, [row[0] for _, row in rows], description)


def _split(path, lines: list[str], first: int, delimiter: str) -> list[_Row]:
    """Returns (number of the line, fields) of each line from `first` that is not blank."""
    if delimiter in ("", " "):
        numbered = enumerate(lines[first:], start=first + 1)
        split = str.split if delimiter else (lambda line: [line])
        rows = [(number, split(line.strip())) for number, line in numbered if line.strip()]
        return [(number, [field.strip('"') for field in row]) for number, row in rows]
    rows = []
    content = io.StringIO("\n".join(lines[first:]))
    reader = csv.reader(content, delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            number = first + reader.line_num
            if any("\n" in field for field in row):
                raise DataError(
                    f"{path}, row {number:,}: a quote of the rows before it is not closed"
                )
            if any(field.strip() for field in row):
                rows.append((number, [field.strip() for field in row]))
    except csv.Error as error:
        raise DataError(f"{path}, row {first + reader.line_num:,}: {error}") from None
    return rows


def _drop_empty_columns(rows: list[_Row]) -> list[_Row]:
    """Returns the rows without last columns that are empty in all rows, after a delimiter at the ends of lines."""
    while rows and all(len(row) > 1 and not row[-1] for _, row in rows):
        rows = [(number, row[:-1]) for number, row in rows]
    return rows


def _column_index(path, names: list[str], width: int, column: str | None) -> int:
    """Returns the position of a column by its name or number."""
    if column is None:
        return width - 1
    if column in names:
        return names.index(column)
    if not column.isdecimal() or not 1 <= int(column) <= width:
        raise DataError(
            f"{path} has no column {column!r}: it has {', '.join(names[:20])}.{nearest(column, names)} Pass a name"
            f" or a number in 1..{width}"
        )
    return int(column) - 1


def _number(path, number: int, text: str, form: NumberFormat) -> float:
    value = form.parse(text)
    reason = None
    if text.lower() in MISSING:
        reason = f"a value is missing ({text!r}): delete the row or fill it in"
    elif _INFINITE.fullmatch(text) or (value is not None and not math.isfinite(value)):
        reason = f"{text[:40]!r} is not finite"
    elif value is None:
        reason = f"{text[:40]!r} is not a number ({form.describe()})"
    if reason:
        raise DataError(f"{path}, row {number:,}: {reason}")
    return value

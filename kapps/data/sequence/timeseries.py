"""Labelled time series in .ts files, the format of the UCR and UEA archives (Bagnall 2018, arXiv:1811.00075).

    # comments
    @classLabel true 1 2 3
    @data
    0.1,0.2,0.3:1.5,1.6,1.7:2         two dimensions of three steps, and the label

Series may differ in length. Files with time stamps, missing values or targets that are not classes are not supported.
"""

import dataclasses
import math
import os

import numpy as np

from kapps._checked import checked
from kapps.data.errors import DataError
from kapps.data.text_files import read_lines

MAX_VALUES = 2**29
"""Largest number of values of padded series: one long series makes all of them long."""


@dataclasses.dataclass(frozen=True)
class Series:
    """Labelled time series.

    Args:
        name: path of the file.
        class_names: names of the classes, in the order of their numbers.
        values: values of each series, float32 [steps, dimensions].
        labels: class number of each series, int32 [series].
    """

    name: str
    class_names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    labels: np.ndarray

    def standardise(self, reference: "Series | None" = None) -> "Series":
        """Returns the series with mean 0 and standard deviation 1 in each dimension.

        Args:
            reference: the series whose mean and standard deviation are used, usually the training series. The default
                is these series.
        """
        steps = np.concatenate((reference or self).values)
        mean, deviation = steps.mean(axis=0), steps.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1).astype("float32")
        values = tuple((series - mean) / scale for series in self.values)
        return dataclasses.replace(self, values=values)

    def pad(self, steps: int | None = None) -> np.ndarray:
        """Returns all series as one array, float32 [series, steps, dimensions], padded on the right with 0.

        Args:
            steps: length of the array. `None` is the length of the longest series.

        Raises:
            DataError: a series is longer, or the array would have more than `MAX_VALUES` values.
        """
        longest = max(map(len, self.values))
        steps = longest if steps is None else steps
        if longest > steps:
            raise DataError(f"{self.name}: steps={steps}, but a series has {longest} steps")
        shape = (len(self.values), steps, self.values[0].shape[1])
        if math.prod(shape) > MAX_VALUES:
            raise DataError(
                f"{self.name}: {shape[0]:,} series padded to {steps:,} steps of {shape[2]} dimensions have"
                f" {math.prod(shape):,} values, and kapps reads {MAX_VALUES:,}: cut or leave out the longest series"
            )
        array = np.zeros(shape, "float32")
        for row, series in zip(array, self.values, strict=True):
            row[: len(series)] = series
        return array


@checked
def read_series(path: str | os.PathLike) -> Series:
    """Reads a .ts file.

    Raises:
        DataError: the file cannot be read. The message names the line.
    """
    # Comments of the archives have names in Latin-1.
    lines = enumerate(read_lines(path, fallback="latin-1"), start=1)
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    header, rows = _read_header(path, lines)
    class_names = _class_names(path, header)
    values, labels = [], []
    for number, line in rows:
        location = f"{path}, line {number}"
        *dimensions, label = line.split(":")
        label = label.strip()
        if label not in class_names:
            raise DataError(
                f"{location}: the label is {label[:40]!r}, of classes {', '.join(class_names)}"
            )
        values.append(_parse_series(location, dimensions))
        labels.append(class_names.index(label))
        if values[-1].shape[1] != values[0].shape[1]:
            raise DataError(
                f"{location}: {values[-1].shape[1]} dimensions, but {values[0].shape[1]} in the first series"
            )
    if not values:
        raise DataError(f"{path} has no series after @data")
    return Series(os.fspath(path), class_names, tuple(values), np.array(labels, "int32"))


def _read_header(path, lines) -> tuple[dict[str, list[str]], list[tuple[int, str]]]:
    """Returns {lower-case key: words} of the lines up to @data, and the numbered lines after it."""
    header = {}
    for position, (_, line) in enumerate(lines):
        if not line.startswith("@"):
            raise DataError(
                f"{path} is not a .ts file: {line[:40]!r} stands before a line of @data"
            )
        key, *words = line.split()
        header[key.lower()] = words or ["false"]
        if key.lower() == "@data":
            return header, lines[position + 1 :]
    raise DataError(f"{path} is not a .ts file: it has no line of @data")


def _class_names(path, header) -> tuple[str, ...]:
    is_labelled, *names = header.get("@classlabel", ["false"])
    if is_labelled.lower() != "true" or not names:
        raise DataError(
            f"{path} names no classes (@classLabel true ...): kapps reads labelled series"
        )
    if len(set(names)) < len(names):
        raise DataError(f"{path} names a class twice: @classLabel true {' '.join(names)}")
    if header.get("@timestamps", ["false"])[0].lower() != "false":
        raise DataError(f"{path} has time stamps: kapps reads series of equal steps without them")
    return tuple(names)


def _parse_series(location: str, dimensions: list[str]) -> np.ndarray:
    """Returns a series, float32 [steps, dimensions], from the text of each dimension."""
    try:
        columns = [[float(value) for value in dimension.split(",")] for dimension in dimensions]
    except ValueError as error:
        is_missing = any("?" in dimension for dimension in dimensions)
        reason = "a value is missing (?)" if is_missing else error
        raise DataError(f"{location}: {reason}") from None
    if not columns or len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns) or "none"
        raise DataError(
            f"{location}: all dimensions must have one length, but these have {lengths}"
        )
    with np.errstate(over="ignore"):  # infinite numbers are an error below
        series = np.array(columns, "float32").T
    if not np.isfinite(series).all():
        raise DataError(f"{location}: a value is not finite")
    return series

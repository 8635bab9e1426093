"""Labelled time series in .ts files, the form of the UCR and UEA archives (Bagnall 2018, arXiv:1811.00075).

    # comments
    @classLabel true 1 2 3
    @data
    0.1,0.2,0.3:1.5,1.6,1.7:2         two dimensions of three steps, and the label

Series may differ in length. Time stamps, missing values and targets that are no classes are refused.
"""

import dataclasses
import os

import numpy as np

from kapps.data.errors import DataError


@dataclasses.dataclass(frozen=True)
class Series:
    """Labelled series.

    Args:
        name: the file.
        class_names: in the order of their numbers.
        values: of each series, float32 [steps, dimensions].
        labels: int32 [series], the numbers of their classes.
    """

    name: str
    class_names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    labels: np.ndarray

    def standardised(self, like=None) -> "Series":
        """Returns the series with a mean of 0 and a deviation of 1 in each dimension.

        Args:
            like: the series whose mean and deviation are taken off and divided by, those trained on; None for these.
        """
        steps = np.concatenate((like or self).values)
        deviation = steps.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1).astype("float32")
        values = tuple((each - steps.mean(axis=0)) / scale for each in self.values)
        return dataclasses.replace(self, values=values)

    def padded(self, steps: int | None = None) -> np.ndarray:
        """Returns all series as one array, float32 [series, steps, dimensions], zeros after each one's end.

        Args:
            steps: of the array; None for as many as the longest series has.

        Raises:
            DataError: where a series is longer.
        """
        longest = max(map(len, self.values))
        steps = longest if steps is None else steps
        if longest > steps:
            raise DataError(f"{self.name}: a series has {longest} steps, but {steps} are asked for")
        found = np.zeros((len(self.values), steps, self.values[0].shape[1]), "float32")
        for row, each in zip(found, self.values, strict=True):
            row[: len(each)] = each
        return found


def read_series(path: str | os.PathLike) -> Series:
    """Reads a .ts file.

    Raises:
        DataError: in one line, for a file that cannot be read, with the line that is wrong.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, start=1)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    header = {}
    while lines and "@data" not in header:
        _, line = lines.pop(0)
        key, *words = line.split()
        header[key.lower()] = words or ["false"]
        if not key.startswith("@"):
            raise DataError(f"{path} is no .ts file: {line[:40]!r} stands before a line of @data")
    if "@data" not in header:
        raise DataError(f"{path} is no .ts file: it has no line of @data")
    class_names = _class_names(path, header)
    values, labels = [], []
    for number, line in lines:
        *dimensions, label = line.split(":")
        if label.strip() not in class_names:
            raise DataError(
                f"{path}, line {number}: the label is {label.strip()[:40]!r}, of classes {', '.join(class_names)}"
            )
        values.append(_series(f"{path}, line {number}", dimensions))
        labels.append(class_names.index(label.strip()))
        if values[-1].shape[1] != values[0].shape[1]:
            raise DataError(
                f"{path}, line {number}: {values[-1].shape[1]} dimensions, but {values[0].shape[1]} in the first series"
            )
    if not values:
        raise DataError(f"{path} has no series after @data")
    return Series(os.fspath(path), class_names, tuple(values), np.array(labels, "int32"))


def _class_names(path, header):
    said, *names = header.get("@classlabel", ["false"])
    if said.lower() != "true" or not names:
        raise DataError(
            f"{path} names no classes (@classLabel true ...), and kapps reads labelled series"
        )
    if header.get("@timestamps", ["false"])[0].lower() != "false":
        raise DataError(
            f"{path} has time stamps, and kapps reads series of equal steps without them"
        )
    return tuple(names)


def _series(where, dimensions):
    """Returns one series, [steps, dimensions], from the text of each dimension."""
    try:
        columns = [[float(value) for value in dimension.split(",")] for dimension in dimensions]
    except ValueError as error:
        missing = any("?" in dimension for dimension in dimensions)
        raise DataError(f"{where}: {'a value is missing (?)' if missing else error}") from None
    if not columns or len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns) or "none"
        raise DataError(f"{where}: dimensions of one length are expected, not of {lengths}")
    found = np.array(columns, "float32").T
    if not np.isfinite(found).all():
        raise DataError(f"{where}: a value is no finite number")
    return found

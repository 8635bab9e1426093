"""Reads published tables of trained networks: a judge that takes microseconds. kapps has the reader, not the tables.

NAS-Bench-201: a CSV file with the columns cell (six digits), cifar10_valid_12, cifar10_test_200 and so on: the dataset,
the split and the number of epochs. NAS-Bench-Macro: the columns blocks and mean.
"""

import csv
import math
import os
from collections.abc import Sequence

import numpy as np

from kapps._checked import checked
from kapps._names import nearest

KEYS = ("cell", "blocks")
"""Columns that name a network."""


class PublishedTable:
    """A table of scores, one line for each cell of a space.

        table = PublishedTable("nasbench201.csv")
        table.score("303101", "cifar10_valid_12")
        judge = table.judge("cifar10_valid_12")  # a function of a cell

    Args:
        path: a CSV file in UTF-8 with a header, a column "cell" or "blocks", and columns of numbers.

    Attributes:
        cells: the cells, in the order of the file.
        columns: names of the columns of numbers.

    Raises:
        ValueError: for a file without such columns, a cell that is there twice, or an empty table.
        OSError: if the file cannot be read.
    """

    @checked
    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{self.path} is not a CSV file in UTF-8: {error}") from None
        names = list(rows[0]) if rows else []
        keys = [name for name in KEYS if name in names]
        if not keys:
            raise ValueError(
                f"{self.path} is not a table of networks: it needs lines, and a column named cell or blocks"
            )
        self.cells = [row[keys[0]] for row in rows]
        self._numbers = {cell: i for i, cell in enumerate(self.cells)}
        if len(self._numbers) < len(rows):
            raise ValueError(f"{self.path} has {len(rows) - len(self._numbers)} cells twice")
        self._values = {}
        for name in names:
            values = [_number(row[name]) for row in rows]
            if name not in keys and None not in values:
                self._values[name] = np.array(values)
        self.columns = tuple(self._values)

    def values(self, column: str) -> np.ndarray:
        """Returns the values of a column, in the order of `cells`.

        Raises:
            ValueError: for a column that the table does not have.
        """
        if column not in self._values:
            raise ValueError(
                f"{self.path} has no column {column!r} of numbers.{nearest(column, self.columns)} It has "
                f"{', '.join(self.columns)}"
            )
        return self._values[column]

    def score(self, cell: str, column: str) -> float:
        """Returns the value of a cell in a column.

        Raises:
            ValueError: for a cell or a column that the table does not have.
        """
        if cell not in self._numbers:
            raise ValueError(f"{self.path} has no cell {cell!r}")
        return float(self.values(column)[self._numbers[cell]])

    def judge(self, column: str):
        """Returns a function of a cell that returns its value in a column."""
        self.values(column)
        return lambda cell: self.score(cell, column)

    def best(self, column: str) -> tuple[str, float]:
        """Returns the cell with the largest value of a column, and the value."""
        i = int(np.argmax(self.values(column)))
        return self.cells[i], float(self.values(column)[i])


def _number(text):
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def incumbents(history: Sequence[Sequence], report) -> list[float]:
    """Returns, after each score of a history, the reported value of the best-scored cell so far.

    Args:
        history: [cell, score] of a method, in order.
        report: function of a cell, such as the test accuracy after the whole training.
    """
    best, values = -math.inf, []
    for cell, score in history:
        if score > best:
            best, value = score, report(cell)
        values.append(value)
    return values

"""Errors of reading data, each in one line, and the images that were skipped because they cannot be decoded."""

import contextlib
import logging
import re
from collections.abc import Iterator

import tensorflow as tf

from kapps._checked import ArgumentError, checked

_log = logging.getLogger(__name__)
_PARSE_ERROR = re.compile("Could not parse example|Feature: |Key: ")
"""Messages of TensorFlow about a record that lacks a feature or is not an example."""
_LISTED = 10
"""Number of images that a summary names."""


class DataError(ValueError):
    """Data that kapps cannot use. The message is one line: what was passed, what is allowed, what to do."""


class DataArgumentError(DataError, ArgumentError):
    """An argument of a data pipeline of a wrong type or outside its range."""


def checked_data(function):
    """Returns a function that checks its arguments as `kapps._checked.checked` does, and raises DataError."""
    return checked(function, DataArgumentError)


class SkippedImages:
    """The images that a run skipped because they cannot be decoded, each once for all epochs.

    Pass one object to `train_dataset` and `eval_dataset`, and read it when the run ends.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._examples: dict[tuple[str, str], int | None] = {}

    @property
    def names(self) -> list[str]:
        """Names of the skipped images, in the order in which they were read."""
        return list(self._names)

    def add_source(self, name: str, split: str, examples: int | None) -> None:
        """Adds a source that will be read, with its number of images, or `None` if it is unknown."""
        self._examples[name, split] = examples

    def record(self, names: list[str]) -> None:
        """Adds images that cannot be decoded.

        Raises:
            DataError: no image is left. An endless dataset would otherwise search forever.
        """
        for name in names:
            if name not in self._names:
                self._names[name] = None
                _log.warning("could not decode %s: skipped", name)
        total = self._total()
        if total is not None and 0 < total <= len(self._names):
            raise DataError(f"none of the {total:,} images could be decoded")

    def summary(self) -> str:
        """Returns one line: how many of how many images were skipped, and the names of the first."""
        total = self._total()
        all_images = "images" if total is None else f"of {total:,} images"
        if not self._names:
            if total is None:
                return "every image could be decoded"
            return f"0 {all_images} were skipped"
        listed = ", ".join(self.names[:_LISTED])
        if len(self._names) > _LISTED:
            listed += f" and {len(self._names) - _LISTED:,} more"
        return f"{len(self._names):,} {all_images} could not be decoded and were skipped: {listed}"

    def _total(self) -> int | None:
        counts = list(self._examples.values())
        return None if not counts or None in counts else sum(counts)


@contextlib.contextmanager
def explain_errors(*sources) -> Iterator[None]:
    """Converts TensorFlow's errors of reading data inside a `with` block to `DataError`.

    Other errors are raised unchanged.

    Args:
        *sources: the `Source` objects that are read. Their shards are read again to find a record that cannot be read.
    """
    try:
        yield
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        data_error = _to_data_error(error, sources)
        if data_error is None:
            raise
        raise data_error from None


def _to_data_error(error: tf.errors.OpError | UnicodeDecodeError, sources) -> DataError | None:
    """Returns the `DataError` for an error of TensorFlow, or `None` if the data is not the reason."""
    # TensorFlow raises UnicodeDecodeError if its message has the bytes of a record.
    text = getattr(error, "message", "Could not parse example")
    # `decode_chunks` and `Source` raise messages of this form from inside the graph.
    message = re.search(r"DataError: (.*?)\]?$", text, re.MULTILINE)
    if message:
        return DataError(message.group(1).strip())
    is_lost = isinstance(error, tf.errors.DataLossError | tf.errors.NotFoundError)
    if not is_lost and not _PARSE_ERROR.search(text):
        return None
    for source in sources:
        if problem := source.find_problem():
            return DataError(problem)
    return DataError(text.splitlines()[0]) if is_lost else None

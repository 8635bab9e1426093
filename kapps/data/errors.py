"""Errors of reading data, each in one line, and the images that were skipped because they cannot be decoded."""

import contextlib
import logging
import re
from collections.abc import Iterator

import tensorflow as tf

from kapps._checked import ArgumentError, checked
from kapps._errors import main_sentence

_log = logging.getLogger(__name__)
_PARSE_ERROR = re.compile("Could not parse example|ParseExample|Feature: |Key: ")
"""Messages of TensorFlow about a record that lacks a feature or is not an example."""
_IMAGE_ERROR = re.compile("JPEG|PNG|GIF|BMP|WebP")
"""Messages of TensorFlow about an image that it cannot decode."""
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
    """The images that a run skipped because they cannot be decoded, by split, each once for all epochs.

    Pass one object to `train_dataset` and `eval_dataset`, and read it when the run ends.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, dict[str, str]] = {}  # by split and by name
        self._examples: dict[str, int] = {}
        self._records: dict[str, dict] = {}

    @property
    def names(self) -> list[str]:
        """Names of the skipped images of all splits, in the order in which they were read."""
        return [name for reasons in self._reasons.values() for name in reasons]

    def names_of(self, split: str) -> list[str]:
        """Returns the names of the skipped images of a split, in the order in which they were read."""
        return list(self._reasons.get(split, {}))

    def add_source(self, source, role: str) -> None:
        """Adds a `Source` that will be read, for "training" or "evaluation"."""
        self._examples[source.split] = source.examples
        self._records[role] = source.record()

    def record(self, split: str, reasons: dict[str, str]) -> None:
        """Adds images of a split that cannot be decoded, with the reason for each name.

        Raises:
            DataError: no image of the split is left. An endless dataset would otherwise search forever.
        """
        recorded = self._reasons.setdefault(split, {})
        for name, reason in reasons.items():
            if name not in recorded:
                recorded[name] = reason
                _log.warning("could not decode %s (%s): skipped", name, reason)
        total = self._examples.get(split)
        if total and total <= len(recorded):
            raise DataError(
                f"none of the {total:,} images of split {split} could be decoded:"
                f" {_list_names(recorded)}"
            )

    def state(self) -> dict[str, dict[str, str]]:
        """Returns the reasons by split and by name, of JSON's types, for `restore`."""
        return {split: dict(reasons) for split, reasons in self._reasons.items()}

    def restore(self, state: dict[str, dict[str, str]]) -> None:
        """Adds the images of the `state` of an interrupted run."""
        for split, reasons in state.items():
            self.record(split, reasons)

    def record_images(self) -> dict[str, dict]:
        """Returns what was read for training and for evaluation, and what was left out, of JSON's types."""
        return {
            role: record | {"undecodable": self._reasons.get(record["split"], {})}
            for role, record in self._records.items()
        }

    def summary(self) -> str:
        """Returns one line: how many images of each split were skipped, with the names and reasons of the first."""
        splits = dict.fromkeys([*self._examples, *self._reasons])
        return "; ".join(map(self._summary_of, splits)) or "no images were read"

    def _summary_of(self, split):
        skipped, total = self._reasons.get(split, {}), self._examples.get(split)
        of_all = "" if total is None else f" of {total:,}"
        if not skipped:
            return f"0{of_all} {split} images were skipped"
        return (
            f"{len(skipped):,}{of_all} {split} images could not be decoded and were skipped:"
            f" {_list_names(skipped)}"
        )


def _list_names(reasons: dict[str, str]) -> str:
    """Returns the first names, each with its reason, and the number of the others."""
    listed = ", ".join(f"{name} ({reason})" for name, reason in list(reasons.items())[:_LISTED])
    return listed + (f" and {len(reasons) - _LISTED:,} more" if len(reasons) > _LISTED else "")


@contextlib.contextmanager
def explain_errors(*sources) -> Iterator[None]:
    """Converts TensorFlow's errors of reading data inside a `with` block to `DataError`.

    Other errors are raised unchanged.

    Args:
        *sources: the `Source` or `CaptionedImages` objects that are read. Their shards or images are read again to find
            what cannot be read.
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
    is_image = _IMAGE_ERROR.search(text)
    if not is_lost and not is_image and not _PARSE_ERROR.search(text):
        return None
    for source in sources:
        if problem := source.find_problem():
            return DataError(problem)
    if is_image:
        return None
    if is_lost:
        reason = main_sentence(text)
        if isinstance(error, tf.errors.NotFoundError):
            reason += ": the data was removed or renamed while it was read; restore it and run the command again"
        return DataError(reason)
    names = ", ".join(source.name for source in sources if source.shards)
    return (
        DataError(f"a record of {names} cannot be parsed: write the shards again")
        if names
        else None
    )

"""What goes wrong with data, in one line each, and the images that do not decode."""

import contextlib
import logging
import re
from collections.abc import Iterator

import tensorflow as tf

_log = logging.getLogger(__name__)
_NAMED = 10


class DataError(ValueError):
    """Data that kapps cannot use: one line of what was given, what is allowed, what to do."""


class SkippedImages:
    """The images that a run could not decode, each once however many epochs met it.

    Hand one to `training` or `evaluation`, and read it when the run ends; one serves several
    pipelines.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._examples: dict[tuple[str, str], int | None] = {}

    @property
    def names(self) -> list[str]:
        """The names of the images, in the order in which they were met."""
        return list(self._names)

    def expect(self, name: str, split: str, examples: int | None) -> None:
        """Tells of a source that will be read, of `examples` images or of None, not known."""
        self._examples[name, split] = examples

    def record(self, names: list[str]) -> None:
        """Counts images that did not decode.

        Raises:
            DataError: where no image is left; an endless pipeline would search forever.
        """
        for name in names:
            if name not in self._names:
                self._names[name] = None
                _log.warning("could not decode %s: skipped", name)
        if self._total() is not None and 0 < self._total() <= len(self._names):
            raise DataError(f"none of the {self._total():,} images could be decoded")

    def summary(self) -> str:
        """Returns one line: how many of how many images were skipped, and which."""
        total = self._total()
        among = "images" if total is None else f"of {total:,} images"
        if not self._names:
            return "every image could be decoded" if total is None else f"0 {among} were skipped"
        names = self.names[:_NAMED]
        more = len(self._names) - len(names)
        listed = ", ".join(names) + (f" and {more:,} more" if more else "")
        return f"{len(self._names):,} {among} could not be decoded and were skipped: {listed}"

    def _total(self) -> int | None:
        counts = list(self._examples.values())
        return None if not counts or None in counts else sum(counts)


def to_data_error(error: Exception, *sources) -> DataError | None:
    """Returns what an error while data was read means in one line; None where data is not it.

    Args:
        error: what iterating, `fit` or `evaluate` raised.
        *sources: the `Source`s that were read; their shards are read again to name an unreadable
        one.
    """
    if isinstance(error, DataError):
        return error
    if not isinstance(error, tf.errors.OpError):
        return None
    named = re.search(r"DataError: (.*?)\]?$", error.message, re.MULTILINE)
    if named:
        return DataError(named.group(1).strip())
    if isinstance(error, tf.errors.DataLossError | tf.errors.NotFoundError):
        for source in sources:
            for shard in source.shards:
                with contextlib.suppress(tf.errors.OpError):
                    for _ in tf.data.TFRecordDataset(shard):
                        pass
                    continue
                return DataError(
                    f"shard {shard} of {source.name!r} cannot be read: it is truncated or damaged;"
                    " write or download it again"
                )
        return DataError(error.message.splitlines()[0])
    return None


@contextlib.contextmanager
def explain_errors(*sources) -> Iterator[None]:
    """Turns errors of reading `sources` in the block into a `DataError`; others pass unchanged."""
    try:
        yield
    except tf.errors.OpError as error:
        plain = to_data_error(error, *sources)
        if plain is None:
            raise
        raise plain from None

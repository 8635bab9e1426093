"""Chunks of images from a tf.data service, which arrive in any order and may be lost."""

import threading

import tensorflow as tf

from kapps.data.errors import DataError
from kapps.data.image.source import Source

LATE_SECONDS = 20.0
"""Time after which the client computes a chunk itself, if nothing arrives."""
START_SECONDS = 120.0
"""The same before the first chunk arrives."""
_MOST_LATE = 16
"""Number of late chunks that are computed at once."""


class Arrivals:
    """The chunks that have arrived, by their numbers. A thread receives them.

    Args:
        dataset: chunks in any order, each with its number.
        limit: number of chunks that wait for an earlier one.
        source: the images, for errors.
    """

    def __init__(self, dataset: tf.data.Dataset, limit: int, source: Source):
        self._limit, self._source = limit, source
        self._chunks, self._next, self._error = {}, 0, None
        self._is_closed = self._has_begun = self._is_silent = False
        self._changed = threading.Condition()
        threading.Thread(target=self._receive, args=[dataset], daemon=True).start()

    def missing(self) -> list[int]:
        """Waits until the next chunk has arrived, and returns []; or the numbers of those that are late."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._next in self._chunks or self._is_full() or self._error,
                0 if self._is_silent else LATE_SECONDS if self._has_begun else START_SECONDS,
            )
            if self._next in self._chunks:
                return []
            if self._error:
                raise self._error
            self._is_silent = not self._chunks  # until another chunk arrives
            last = max(self._chunks, default=self._next + _MOST_LATE)
            late = [number for number in range(self._next, last) if number not in self._chunks]
            return late[:_MOST_LATE]

    def add(self, number: tf.Tensor, *content: tf.Tensor) -> None:
        """Adds a chunk. One that has arrived before is dropped."""
        with self._changed:
            number = int(number)
            if number >= self._next and not self._is_closed:
                self._chunks.setdefault(number, content)
                self._changed.notify_all()

    def take(self) -> list:
        """Returns the next chunk."""
        with self._changed:
            chunk = self._chunks.pop(self._next)
            self._next += 1
            self._changed.notify_all()
            return chunk

    def close(self) -> None:
        """Ends the thread after the chunk that it waits for."""
        with self._changed:
            self._is_closed = True
            self._chunks.clear()
            self._changed.notify_all()

    def _is_full(self):
        return len(self._chunks) >= self._limit

    def _receive(self, dataset):
        try:
            for number, *content in dataset:
                with self._changed:
                    self._changed.wait_for(lambda: not self._is_full() or self._is_closed)
                    if self._is_closed:
                        return
                    self._has_begun, self._is_silent = True, False
                self.add(number, *content)
        except tf.errors.NotFoundError as error:
            self._fail(
                DataError(
                    f"a worker of the data service cannot read {self._source.name}: its machine needs the data at the "
                    f"same path ({error.message.splitlines()[0]})"
                )
            )
        except Exception as error:  # raised in the thread that takes chunks
            self._fail(error)

    def _fail(self, error):
        with self._changed:
            self._error = error
            self._changed.notify_all()

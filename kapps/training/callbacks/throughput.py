"""The throughput of a training, and the fraction of its time that training steps wait for data."""

import time
import warnings

import keras
import tensorflow as tf

from kapps._checked import checked

_WAIT_LIMIT = 0.1
"""Fraction of the time spent waiting for data above which a warning is printed."""


class Throughput(keras.callbacks.Callback):
    """Adds the examples per second and the fraction of time spent waiting for data to the logs.

    The logs of an epoch get "examples_per_second" (or "tokens_per_second") and "input_wait". The first step of an
    epoch is not measured: it traces the graph and fills the pipeline. If the input pipeline is slower than the
    training step, so that the device is idle, the callback warns once.

    Args:
        batch_size: examples per step over all replicas; the mean if steps differ.
        unit: what `batch_size` counts, "examples" or "tokens".
    """

    @checked
    def __init__(self, batch_size: float, unit: str = "examples"):
        super().__init__()
        self.batch_size, self.unit, self.key = batch_size, unit, f"{unit}_per_second"
        self.start_time = self.wait_seconds = self.steps = 0
        self._measured = None
        self._warned = False

    def on_train_begin(self, logs=None) -> None:
        # `fit` accepts any iterator of batches, so the wrapper measures the time of each `next`.
        self.model.train_function = _TimedTrainFunction(self.model.train_function, self)

    def on_train_end(self, logs=None) -> None:
        self.model.train_function = self.model.train_function.function

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.steps = None

    def on_train_batch_end(self, batch, logs=None) -> None:
        if self.steps is None:
            self.start_time, self.wait_seconds, self.steps = time.perf_counter(), 0.0, 0
            return
        self.steps += 1
        if logs is not None:
            logs[self.key] = self.rate()

    def rate(self) -> float:
        """Returns examples (or tokens) per second in this epoch; 0 if it has fewer than two steps."""
        seconds = time.perf_counter() - self.start_time
        return self.steps * self.batch_size / seconds if self.steps else 0.0

    def on_test_begin(self, logs=None) -> None:
        self._measured = self._measure()  # the evaluation of an epoch is not part of its throughput

    def on_epoch_end(self, epoch, logs=None) -> None:
        measured = self._measured or self._measure()
        self._measured = None
        logs.update(measured)
        wait, rate = measured["input_wait"], measured[self.key]
        if wait > _WAIT_LIMIT and self.steps >= 10 and not self._warned:
            self._warned = True
            warnings.warn(
                f"training steps wait for data {wait:.0%} of the time: the pipeline delivers {rate:,.0f} {self.unit} "
                f"per second, and the training step could process {rate / (1 - wait):,.0f}; use more CPU cores or "
                "less augmentation",
                stacklevel=2,
            )

    def _measure(self):
        seconds = time.perf_counter() - self.start_time
        wait = self.wait_seconds / seconds if self.steps else 0.0
        return {self.key: self.rate(), "input_wait": wait}


class _TimedTrainFunction:
    """A train function that adds the time its iterator takes to `throughput.wait_seconds`."""

    def __init__(self, function, throughput):
        self.function, self.throughput, self.step = function, throughput, None

    def __call__(self, iterator):
        self.step = self.step or self._make_step(iterator)
        # The first StopIteration leaves this function, so that it ends the epoch.
        logs = self.step(self._next_batch(iterator))
        for _ in range(self.throughput.model.steps_per_execution - 1):
            try:
                logs = self.step(self._next_batch(iterator))
            except StopIteration:
                break
        return logs

    def _next_batch(self, iterator):
        start_time = time.perf_counter()
        batch = next(iterator)
        self.throughput.wait_seconds += time.perf_counter() - start_time
        return batch

    def _make_step(self, iterator):
        if self.throughput.model.run_eagerly:
            return self._train_on_batch
        # Without a signature, Keras traces the exact shape of the first batch, and a graph of another shape rounds
        # differently: a resumed run would not produce the same bits.
        return tf.function(self._train_on_batch, input_signature=[iterator.element_spec])

    def _train_on_batch(self, batch):
        return self.function(iter([batch]))

"""Throughput of a training, and the share of its time spent waiting for data."""

import time
import warnings

import keras
import tensorflow as tf

_WARN = 0.1
"""Share of the time spent waiting for data that is worth a word."""


class Throughput(keras.callbacks.Callback):
    """Adds examples per second and the share of time that steps wait for data to the logs of an epoch.

    It warns, once, where the pipeline is slower than the step: the device then idles.

    Args:
        batch_size: examples a step, over all replicas; the mean where steps differ.
        unit: what is counted: "examples", or "tokens".
    """

    def __init__(self, batch_size: float, unit: str = "examples"):
        super().__init__()
        self.batch_size, self.warned = batch_size, False
        self.unit, self.key = unit, f"{unit}_per_second"
        self.began = self.waited = self.counted = 0

    def on_train_begin(self, logs=None):
        # Keras takes any iterator of batches, and this one has a clock.
        self.model.train_function = _Timed(self.model.train_function, self)

    def on_train_end(self, logs=None):
        self.model.train_function = self.model.train_function.function

    def on_epoch_begin(self, epoch, logs=None):
        self.counted = None

    def on_train_batch_end(self, batch, logs=None):
        if self.counted is None:  # a first step traces, and fills the pipeline
            self.began, self.waited, self.counted = time.perf_counter(), 0.0, 0
            return
        self.counted += 1
        if logs is not None:
            logs[self.key] = self.rate()

    def rate(self) -> float:
        """Returns examples, or tokens, per second in this epoch, 0 where it has taken no two steps."""
        seconds = time.perf_counter() - self.began
        return self.counted * self.batch_size / seconds if self.counted else 0.0

    def on_test_begin(self, logs=None):
        self._ended = self._measured()

    def _measured(self):
        seconds = time.perf_counter() - self.began
        share = self.waited / seconds if self.counted else 0.0
        return {self.key: self.rate(), "input_wait": share}

    def on_epoch_end(self, epoch, logs=None):
        # With an evaluation, what was measured before it.
        measured = self.__dict__.pop("_ended", None) or self._measured()
        logs.update(measured)
        wait, rate = measured["input_wait"], measured[self.key]
        if wait > _WARN and self.counted >= 10 and not self.warned:
            self.warned = True
            warnings.warn(
                f"steps wait {wait:.0%} of their time for data: the pipeline gives {rate:,.0f} {self.unit} a second, "
                f"and the step could take {rate / (1 - wait):,.0f}; more CPU cores or less augmentation would help",
                stacklevel=2,
            )


class _Timed:
    """A train function that adds up the time that its iterator takes."""

    def __init__(self, function, clock):
        self.function, self.clock, self.step = function, clock, None

    def __call__(self, iterator):
        self.step = self.step or self._step(iterator)
        # Taken here, so that the end of the data ends the epoch and not Keras's loop over executions alone.
        logs = self.step(self._next(iterator))
        for _ in range(self.clock.model.steps_per_execution - 1):
            try:
                logs = self.step(self._next(iterator))
            except StopIteration:
                break
        return logs

    def _next(self, iterator):
        began = time.perf_counter()
        batch = next(iterator)
        self.clock.waited += time.perf_counter() - began
        return batch

    def _step(self, iterator):
        if self.clock.model.run_eagerly:
            return self._once
        # Given batches, Keras would trace the first one's very shape, and round it otherwise than those after it:
        # a run that goes on would not come to the same bits.
        return tf.function(self._once, input_signature=[iterator.element_spec])

    def _once(self, batch):
        return self.function(iter([batch]))

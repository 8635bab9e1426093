"""How fast a training runs, how long it still takes, and whether it waits for its images."""

import sys
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


class Progress(keras.callbacks.Callback):
    """Prints how far a training is: a bar on a terminal, a line now and then in a file, a line an epoch in both.

    Args:
        epochs: of the training.
        steps: of an epoch.
        done: steps that an earlier process has taken.
        every: seconds between two lines in a file.
        file: where to print; standard output where none is given.
    """

    def __init__(self, epochs: int, steps: int, *, done: int = 0, every: float = 60.0, file=None):
        super().__init__()
        self.epochs, self.steps, self.done, self.every = epochs, steps, done, every
        self.file = file or sys.stdout
        self.terminal = self.file.isatty()
        self.width = 0

    def on_train_begin(self, logs=None):
        self.step = self.done
        self.first = self.shown = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        now = time.perf_counter()
        if self.first is None:
            self.first, self.shown = (now, self.step), now
        elif now - self.shown >= (0.2 if self.terminal else self.every):
            self.shown = now
            self._show(self._line(logs, now), "" if self.terminal else "\n")

    def on_epoch_end(self, epoch, logs=None):
        epoch_ended = f"epoch {epoch + 1}/{self.epochs}"
        self._show(f"{epoch_ended}  {_metrics(logs)}{self._left(time.perf_counter())}", "\n")

    def _line(self, logs, now):
        epoch, step = divmod(self.step - 1, self.steps)
        text = f"epoch {epoch + 1}/{self.epochs} "
        if self.terminal:
            full = 20 * (step + 1) // self.steps
            text += f"[{'=' * full}{'.' * (20 - full)}] "
        return f"{text}{step + 1}/{self.steps}  {_metrics(logs)}{self._left(now)}"

    def _left(self, now):
        """Returns the time that the rest of the training takes at its rate so far, evaluation included."""
        if self.first is None or self.step == self.first[1]:
            return ""
        pace = (now - self.first[0]) / (self.step - self.first[1])
        seconds = pace * (self.epochs * self.steps - self.step)
        return f"  {duration(seconds)} left" if seconds >= 1 else ""

    def _show(self, text, end):
        if self.terminal:
            text, self.width = "\r" + text.ljust(self.width), len(text)
        print(text, end=end, file=self.file, flush=True)
        if end:
            self.width = 0


def _metrics(logs):
    shown = []
    for key, value in (logs or {}).items():
        if key.endswith("_per_second"):
            unit = "" if key == "examples_per_second" else f" {key.removesuffix('_per_second')}"
            shown.append(f"{value:,.0f}{unit}/s")
        elif key == "input_wait":
            shown.append(f"{value:.0%} waiting for data")
        else:
            shown.append(f"{key} {value:.4f}")
    return "  ".join(shown)


def duration(seconds: float) -> str:
    """Returns a time as people say it: "45 s", "12 min", "3 h 20 min", "2 d 5 h"."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"

"""Prints the progress of a training or an evaluation."""

import sys
import time

import keras


class Progress(keras.callbacks.Callback):
    """Prints the step, the metrics and the remaining time of a training, and the progress of an evaluation.

    On a terminal it draws a bar. In a file it prints a line every `interval` seconds. Both get a line per epoch.

    Args:
        epochs: epochs of the training.
        steps: steps per epoch.
        initial_step: steps that an earlier process has completed.
        interval: seconds between two lines in a file.
        file: where to print; `None` (standard output) by default.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        *,
        initial_step: int = 0,
        interval: float = 60.0,
        file=None,
    ):
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.initial_step, self.interval = initial_step, interval
        self.file = file or sys.stdout
        self.terminal = self.file.isatty()
        self.step = initial_step
        self._first = self._last_print = None
        self._width = 0

    def on_train_begin(self, logs=None) -> None:
        self.step = self.initial_step
        self._first = self._last_print = None

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.step += 1
        now = time.perf_counter()
        if self._first is None:
            self._first, self._last_print = (now, self.step), now
        elif self._is_due(now):
            self._print(self._training_line(logs, now))

    def on_epoch_end(self, epoch, logs=None) -> None:
        remaining = self._remaining(time.perf_counter())
        self._print(f"epoch {epoch + 1}/{self.epochs}  {_format_metrics(logs)}{remaining}", "\n")

    def on_test_begin(self, logs=None) -> None:
        self._last_print = time.perf_counter()

    def on_test_batch_end(self, batch, logs=None) -> None:
        if self._is_due(time.perf_counter()):
            self._print(f"evaluation  step {batch + 1}")

    def on_test_end(self, logs=None) -> None:
        if self._width:
            print("\r" + " " * self._width, end="\r", file=self.file, flush=True)
            self._width = 0

    def _is_due(self, now):
        if now - self._last_print < (0.2 if self.terminal else self.interval):
            return False
        self._last_print = now
        return True

    def _training_line(self, logs, now):
        epoch, step = divmod(self.step - 1, self.steps)
        text = f"epoch {epoch + 1}/{self.epochs} "
        if self.terminal:
            full = 20 * (step + 1) // self.steps
            text += f"[{'=' * full}{'.' * (20 - full)}] "
        return f"{text}{step + 1}/{self.steps}  {_format_metrics(logs)}{self._remaining(now)}"

    def _remaining(self, now):
        """Returns the time that the rest of the training takes at the mean rate so far, evaluations included."""
        if self._first is None or self.step == self._first[1]:
            return ""
        start_time, start_step = self._first
        seconds_per_step = (now - start_time) / (self.step - start_step)
        seconds = seconds_per_step * (self.epochs * self.steps - self.step)
        return f"  {format_duration(seconds)} left" if seconds >= 1 else ""

    def _print(self, text, end=None):
        """Prints a line: by default one that the next line replaces on a terminal."""
        if end is None:
            end = "" if self.terminal else "\n"
        if self.terminal:
            text, self._width = "\r" + text.ljust(self._width), len(text)
        print(text, end=end, file=self.file, flush=True)
        if end:
            self._width = 0


def _format_metrics(logs):
    texts = []
    for key, value in (logs or {}).items():
        if key.endswith("_per_second"):
            texts.append(f"{value:,.0f} {key.removesuffix('_per_second')}/s")
        elif key == "input_wait":
            texts.append(f"{value:.0%} waiting for data")
        else:
            texts.append(f"{key} {value:.4f}")
    return "  ".join(texts)


def format_duration(seconds: float) -> str:
    """Returns a duration in its largest units: "45 s", "12 min", "3 h 20 min", "2 d 5 h"."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"

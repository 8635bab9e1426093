"""The progress of a training, printed."""

import sys
import time

import keras


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

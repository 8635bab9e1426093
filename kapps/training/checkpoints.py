"""Checkpoints from which an interrupted training resumes exactly, after SIGKILL, SIGTERM or a full disk.

The files are those of `kapps.training.checkpoint_files`.

Why not Orbax or `keras.callbacks.BackupAndRestore`: the latter resumes at epochs, and neither saves the position in
the data, the random seeds and the mean logs of an interrupted epoch, which an exact resume needs.
"""

import pathlib
import signal
import threading
import warnings
import zipfile

import keras
import numpy as np

from kapps.training.checkpoint_files import (
    list_checkpoints,
    path_of_step,
    read_checkpoint,
    step_of_path,
    write_checkpoint,
)

_RECENT = 2
"""Number of latest checkpoints that are kept."""


class TrainingStopped(RuntimeError):  # noqa: N818  # not an error of the program
    """A training that ended early; the message is one line: the reason, and how to resume.

    Args:
        message: that line.
        code: exit code of a program that ends with this exception.
    """

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class Checkpoints(keras.callbacks.Callback):
    """Saves the complete state of a training, and restores it.

    The state is every variable of the model (including the random seeds of its dropout layers), every variable of
    the optimizer (step, momentum, moving average, loss scale), the step, and the notes of the run. The position in the
    data follows from the step: `kapps.data.train_dataset(first_step=...)`. A checkpoint is written to a temporary file,
    synced to the disk and renamed. The last two are kept, and all are deleted when the training is complete.

        checkpoints = Checkpoints("runs/imagenet/checkpoints", steps_per_epoch=steps)
        step = checkpoints.restore(model)
        callbacks = checkpoints.surround([...])
        model.fit(dataset_from(step), initial_epoch=step // steps, callbacks=callbacks)

    Args:
        directory: directory of the checkpoints; it is created if it does not exist.
        steps_per_epoch: steps of every epoch.
        interval: steps between two checkpoints. The end of an epoch always makes one.
        identity: the options that determine the training, of JSON's types. A checkpoint of a training with other
            values is not restored.
        notes: what the run needs to resume, of JSON's types; `restore` sets it, and every checkpoint saves it.
        write: whether this process saves. Of several workers only the first one saves, and all restore.
        epoch_ends: number of checkpoints at the ends of epochs to keep, for `kapps.training.average_checkpoints`.
    """

    def __init__(
        self,
        directory,
        *,
        steps_per_epoch: int,
        interval: int = 500,
        identity: dict | None = None,
        notes: dict | None = None,
        write: bool = True,
        epoch_ends: int = 0,
    ):
        super().__init__()
        self.directory, self.steps_per_epoch = pathlib.Path(directory), steps_per_epoch
        self.interval, self.write, self.epoch_ends = interval, write, epoch_ends
        self.identity = identity or {}
        self.notes = {} if notes is None else notes
        self.step = self._saved_step = 0
        self.interrupted = None  # of an interrupted epoch: its number of steps and their mean logs
        self._terminated = threading.Event()
        self._previous_handler = None

    def restore(self, model: keras.Model) -> int:
        """Restores the latest complete checkpoint into a compiled model, and returns its step; 0 without one.

        Raises:
            ValueError: for a checkpoint of another model or of another training.
        """
        model.optimizer.build(model.trainable_variables)
        for path in reversed(list_checkpoints(self.directory)):
            try:
                about, values = read_checkpoint(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                warnings.warn(f"{path} is incomplete and was skipped ({reason})", stacklevel=2)
                continue
            self._check(path, about, values, model)
            for variable, value in zip(_variables(model), values, strict=True):
                variable.assign(value)
            self.step = about["step"]
            self.notes.clear()
            self.notes.update(about["notes"])
            steps = self.step % self.steps_per_epoch
            self.interrupted = (steps, about["logs"]) if steps else None
            return self.step
        return 0

    def _check(self, path, about, values, model):
        for key, value in self.identity.items():
            saved_value = about["identity"].get(key)
            if saved_value != value:
                raise ValueError(
                    f"{path} belongs to a run with {key}={saved_value}, not {key}={value}: use the same value, or "
                    f"delete {self.directory} to train from scratch"
                )
        saved = [(tuple(value.shape), str(value.dtype)) for value in values]
        expected = [
            (tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in _variables(model)
        ]
        if saved != expected:
            raise ValueError(
                f"{path} does not fit {model.name} and its optimizer: delete {self.directory} to train from scratch"
            )

    def save(self, logs: dict | None = None) -> pathlib.Path | None:
        """Writes a checkpoint of the current step, and deletes the checkpoints that are not kept.

        Args:
            logs: the mean logs of the current epoch so far.

        Returns:
            The path of the checkpoint, or `None` if this process does not save.

        Raises:
            TrainingStopped: if the file cannot be written or a weight is not finite; older checkpoints remain.
        """
        if not self.write:
            return None
        values = [keras.ops.convert_to_numpy(variable) for variable in _variables(self.model)]
        if not all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"):
            self._stop(f"a weight is not finite; {self.describe_last()}")
        about = {
            "step": self.step,
            "variables": len(values),
            "identity": self.identity,
            "notes": self.notes,
            "logs": self.epoch_logs(logs),
        }
        path = path_of_step(self.directory, self.step)
        try:
            write_checkpoint(path, about, values)
        except OSError as error:
            self._stop(
                f"{path} cannot be written ({error.strerror or error}); {self.describe_last()}"
            )
        paths = list_checkpoints(self.directory)
        for old_path in {*paths} - {*paths[-_RECENT:], *self.epoch_files()}:
            old_path.unlink()
        return path

    def epoch_files(self) -> list[pathlib.Path]:
        """Returns the checkpoints at the ends of the last `epoch_ends` epochs, the oldest first."""
        paths = list_checkpoints(self.directory)
        ends = [path for path in paths if step_of_path(path) % self.steps_per_epoch == 0]
        return ends[-self.epoch_ends :] if self.epoch_ends else []

    def describe_last(self) -> str:
        """Returns, as text, the checkpoint that the training would resume from."""
        paths = list_checkpoints(self.directory)
        if not paths:
            return "there is no checkpoint yet"
        return f"{paths[-1]} is the last good checkpoint; run the same command to resume from it"

    def delete(self) -> None:
        """Deletes all checkpoints, so that the same command trains from scratch."""
        if self.write:
            for path in list_checkpoints(self.directory):
                path.unlink()
            if self.directory.is_dir() and not any(self.directory.iterdir()):
                self.directory.rmdir()

    def on_train_begin(self, logs=None) -> None:
        self._saved_step = self.step
        if threading.current_thread() is threading.main_thread():
            self._terminated.clear()
            self._previous_handler = signal.signal(
                signal.SIGTERM, lambda *_: self._terminated.set()
            )

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.step += 1
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self._stop(f"the loss is {loss}; {self.describe_last()}")
        if self.step % self.steps_per_epoch == 0:
            # In a resumed epoch, `fit` expects more steps than remain.
            self.model.stop_training = self.interrupted is not None
        elif self.step % self.interval == 0 or self._terminated.is_set():
            self._save_if_new(logs)
            self._stop_if_terminated()

    def on_epoch_end(self, epoch, logs=None) -> None:
        self._save_if_new()
        self._stop_if_terminated()

    def on_train_end(self, logs=None) -> None:
        self._restore_signal_handler()

    def surround(self, callbacks: list[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        """Returns the callbacks for `fit`: the given ones, with this one before and after them.

        The others get the mean logs over all steps of an interrupted epoch, and a checkpoint at the end of an epoch
        contains the notes that they have written.
        """
        return [_EpochLogs(self), *callbacks, self]

    def _save_if_new(self, logs=None):
        if self.step != self._saved_step:
            self.save(logs)
            self._saved_step = self.step

    def _stop_if_terminated(self):
        if self._terminated.is_set():
            saved = "saved" if self.write else "the first worker saves"
            reason = f"SIGTERM; {saved}, run the same command to resume from here"
            self._stop(reason, code=128 + signal.SIGTERM)

    def _stop(self, reason, code=1):
        self._restore_signal_handler()
        raise TrainingStopped(f"step {self.step}: {reason}", code)

    def _restore_signal_handler(self):
        if self._previous_handler is not None:
            signal.signal(signal.SIGTERM, self._previous_handler)
            self._previous_handler = None

    def epoch_logs(self, logs: dict | None) -> dict:
        """Returns the mean logs of the current epoch so far, including its steps before an interruption."""
        logs = {key: float(value) for key, value in (logs or {}).items() if np.ndim(value) == 0}
        if not self.interrupted:
            return logs
        steps_before, means = self.interrupted
        steps_after = (self.step - 1) % self.steps_per_epoch + 1 - steps_before
        for key, mean in means.items():
            if key in logs:
                logs[key] = _mean(key, [mean, logs[key]], [steps_before, steps_after])
        return logs


class _EpochLogs(keras.callbacks.Callback):
    """Combines the logs of the two parts of an interrupted epoch."""

    def __init__(self, checkpoints):
        super().__init__()
        self.checkpoints = checkpoints

    def on_epoch_end(self, epoch, logs=None) -> None:
        if self.checkpoints.interrupted:
            self.model.stop_training = False  # it only had to end this epoch
            means = self.checkpoints.epoch_logs(logs)
            logs.update({key: value for key, value in means.items() if key in logs})
            self.checkpoints.interrupted = None


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def _mean(key, values, weights):
    """Returns the weighted mean of a metric: the geometric mean of a perplexity, which is exp of a mean."""
    if key.endswith("perplexity"):
        return float(np.exp(np.average(np.log(values), weights=weights)))
    return float(np.average(values, weights=weights))

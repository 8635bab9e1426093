"""A training that goes on exactly where it was stopped, by -9, by SIGTERM or by a full disk."""

import json
import pathlib
import signal
import threading
import warnings
import zipfile
from collections.abc import Sequence

import keras
import numpy as np

from kapps._files import write_atomically

_KEPT = 2


class TrainingStopped(RuntimeError):  # noqa: N818  # no fault of the program's
    """A training that ended early: one line of why, and how it goes on.

    Args:
        message: that line.
        code: what a program that ends by it exits with.
    """

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole state of a training, and puts it back.

    The state is every variable of the model, random seeds of its dropout among them, every one of the optimizer
    (step, momentum, moving average, loss scale), the step, and what the run has noted. The place in the data
    follows from the step: `kapps.data.train_dataset(first_step=...)`. A checkpoint is written aside, synced to the
    disk and renamed; the last two are kept, and all go when the training is complete.

        checkpoints = Checkpoints("runs/imagenet/checkpoints", steps_per_epoch=steps)
        step = checkpoints.restore(model)
        model.fit(train_from(step), initial_epoch=step // steps, callbacks=checkpoints.around([...]))

    Args:
        directory: of the checkpoints; made where it is missing.
        steps_per_epoch: steps of every epoch.
        every: steps between two checkpoints; the end of an epoch is always one.
        identity: what the training was asked for, JSON's types; a checkpoint of something else is refused.
        notes: what else the run wants to find again, JSON's types; filled by `restore`, saved as it then is.
        writes: whether this process saves; of several workers only the first does, and all restore.
        epochs: how many ends of epochs are kept besides, for `average`.
    """

    def __init__(
        self,
        directory,
        *,
        steps_per_epoch,
        every=500,
        identity=None,
        notes=None,
        writes=True,
        epochs=0,
    ):
        super().__init__()
        self.directory, self.steps, self.every = pathlib.Path(directory), steps_per_epoch, every
        self.identity = identity or {}
        self.notes = {} if notes is None else notes
        self.writes, self.kept = writes, epochs
        self.step = self._saved = 0
        self.before = None  # of an epoch that was begun before: (its steps then, their mean logs)
        self._terminated = threading.Event()
        self._handler = None

    # Putting back

    def restore(self, model: keras.Model) -> int:
        """Puts the newest whole checkpoint into a compiled model, and returns its step, 0 where there is none.

        Raises:
            ValueError: for a checkpoint of another model, or of another training.
        """
        model.optimizer.build(model.trainable_variables)
        for path in reversed(self._paths()):
            try:
                with np.load(path, allow_pickle=False) as file:
                    about = json.loads(file["about"].tobytes())
                    values = [file[f"v{i}"] for i in range(about["variables"])]
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                warnings.warn(f"passed over {path}, which is not whole ({reason})", stacklevel=2)
                continue
            self._check(path, about, values, model)
            for variable, value in zip(_variables(model), values, strict=True):
                variable.assign(value)
            self.step = about["step"]
            self.notes.clear()
            self.notes.update(about["notes"])
            into = self.step % self.steps
            self.before = (into, about["logs"]) if into else None
            return self.step
        return 0

    def _check(self, path, about, values, model):
        for key, asked in self.identity.items():
            then = about["identity"].get(key)
            if then != asked:
                raise ValueError(
                    f"{path} is of a run with {key}={then}, not {asked}: ask for the same again, or delete "
                    f"{self.directory} to begin anew"
                )
        have = [(tuple(value.shape), str(value.dtype)) for value in values]
        want = [
            (tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in _variables(model)
        ]
        if have != want:
            raise ValueError(
                f"{path} does not fit {model.name} and its optimizer: delete {self.directory} to begin anew"
            )

    # Saving

    def save(self, logs=None) -> pathlib.Path | None:
        """Writes a checkpoint of the current step, and deletes all but the last two.

        Raises:
            TrainingStopped: where it cannot be written, and where a weight is not finite; older ones stay as they are.
        """
        if not self.writes:
            return None
        values = [keras.ops.convert_to_numpy(variable) for variable in _variables(self.model)]
        if not all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"):
            self._stop(f"a weight is not finite; {self.last()}")
        about = {
            "step": self.step,
            "variables": len(values),
            "identity": self.identity,
            "notes": self.notes,
            "logs": self.whole(logs),
        }
        path = self.directory / f"step-{self.step:010d}.npz"
        content = np.frombuffer(json.dumps(about).encode(), np.uint8)
        try:
            with write_atomically(path) as written:
                np.savez(
                    written, about=content, **{f"v{i}": value for i, value in enumerate(values)}
                )
        except OSError as error:
            self._stop(f"{path} cannot be written ({error.strerror or error}); {self.last()}")
        spared = {*self._paths()[-_KEPT:], *self.epochs()}
        for old in set(self._paths()) - spared:
            old.unlink()
        return path

    def epochs(self) -> list[pathlib.Path]:
        """Returns the checkpoints of the last epochs' ends that are kept, the oldest first."""
        ends = [path for path in self._paths() if int(path.stem[5:]) % self.steps == 0]
        return ends[-self.kept :] if self.kept else []

    def last(self) -> str:
        """Returns what there is to go on from, as text."""
        paths = self._paths()
        if not paths:
            return "there is no checkpoint yet"
        return f"{paths[-1]} is the last good checkpoint, and the same command goes on from it"

    def complete(self) -> None:
        """Deletes the checkpoints: the same command then trains anew."""
        if self.writes:
            for path in self._paths():
                path.unlink()
            if self.directory.is_dir() and not any(self.directory.iterdir()):
                self.directory.rmdir()

    def _paths(self):
        return sorted(self.directory.glob("step-*.npz"))

    # As a callback

    def on_train_begin(self, logs=None):
        self._saved = self.step
        if threading.current_thread() is threading.main_thread():
            self._terminated.clear()
            self._handler = signal.signal(signal.SIGTERM, lambda *_: self._terminated.set())

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self._stop(f"the loss is {loss}; {self.last()}")
        if self.step % self.steps == 0:
            # Of an epoch that was begun before, fit would take more steps than are left.
            self.model.stop_training = self.before is not None
        elif self.step % self.every == 0 or self._terminated.is_set():
            self._save_if_new(logs)
            self._leave_if_told()

    def on_epoch_end(self, epoch, logs=None):
        self._save_if_new()
        self._leave_if_told()

    def on_train_end(self, logs=None):
        self._give_signal_back()

    def around(self, callbacks: list[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        """Returns what to give to `fit`: an epoch is saved with what the others made of it.

        Where an epoch was interrupted, they are given the means over all of its steps.
        """
        return [_Whole(self), *callbacks, self]

    def _save_if_new(self, logs=None):
        if self.step != self._saved:
            self.save(logs)
            self._saved = self.step

    def _leave_if_told(self):
        if self._terminated.is_set():
            saved = "saved" if self.writes else "the first worker saves"
            why = f"SIGTERM; {saved}, and the same command goes on from here"
            self._stop(why, code=128 + signal.SIGTERM)

    def _stop(self, why, code=1):
        self._give_signal_back()
        raise TrainingStopped(f"step {self.step}: {why}", code)

    def _give_signal_back(self):
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def whole(self, logs):
        """Returns the means over an epoch's steps so far, those before an interruption included."""
        logs = {key: float(value) for key, value in (logs or {}).items() if np.ndim(value) == 0}
        if not self.before:
            return logs
        before, means = self.before
        now = (self.step - 1) % self.steps + 1 - before
        for key, mean in means.items():
            if key in logs:
                logs[key] = _mean(key, [mean, logs[key]], [before, now])
        return logs


class _Whole(keras.callbacks.Callback):
    """Makes one epoch of the two parts of an interrupted one."""

    def __init__(self, checkpoints):
        super().__init__()
        self.checkpoints = checkpoints

    def on_epoch_end(self, epoch, logs=None):
        if self.checkpoints.before:
            self.model.stop_training = False  # which ended this epoch only
            whole = self.checkpoints.whole(logs)
            logs.update({key: value for key, value in whole.items() if key in logs})
            self.checkpoints.before = None


def _mean(key, values, weights):
    """Returns the weighted mean of a metric; of a perplexity, which is the exponential of a mean, the geometric one."""
    if key.endswith("perplexity"):
        return float(np.exp(np.average(np.log(values), weights=weights)))
    return float(np.average(values, weights=weights))


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def average_checkpoints(model: keras.Model, checkpoints: Sequence[pathlib.Path]) -> None:
    """Gives a model the mean of its weights in several checkpoints, as [1], section 6.1, does with the last 5.

    What is no floating-point number, such as random seeds, is that of the last one.

    Args:
        model: whose checkpoints they are.
        checkpoints: files that `kapps.training.Checkpoints` wrote, such as its `epochs()`; the oldest first.

    Raises:
        ValueError: for no checkpoint, and for one of another model.
    """
    if not checkpoints:
        raise ValueError("there is no checkpoint to average")
    variables = model.variables
    sums = [0.0] * len(variables)
    for path in checkpoints:
        with np.load(path, allow_pickle=False) as file:
            count = json.loads(file["about"].tobytes())["variables"]
            # The model's come first, then the optimizer's.
            values = [file[f"v{i}"] for i in range(min(count, len(variables)))]
        if [value.shape for value in values] != [tuple(each.shape) for each in variables]:
            raise ValueError(f"{path} does not fit {model.name}")
        for i, value in enumerate(values):
            floats = value.dtype.kind == "f"
            sums[i] = sums[i] + value.astype("float64") if floats else value
    for variable, total in zip(variables, sums, strict=True):
        floats = total.dtype.kind == "f"
        variable.assign(total / len(checkpoints) if floats else total)

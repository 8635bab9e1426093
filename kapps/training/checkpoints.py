"""Checkpoints from which an interrupted training resumes exactly, after SIGKILL, SIGTERM, Ctrl-C or a full disk.

The files are those of `kapps.training.checkpoint_files`, the state that they hold is that of
`kapps.training.checkpoint_state`.

Why not Orbax or `keras.callbacks.BackupAndRestore`: the latter resumes at epochs, and neither saves the position in the
data, carried states and metrics of an interrupted epoch, which an exact resume needs.
"""

import pathlib

import keras
import numpy as np

from kapps._local_paths import local_path
from kapps.training.checkpoint_files import (
    CorruptCheckpointError,
    list_checkpoints,
    path_of_step,
    print_line,
    read_checkpoint,
    step_of_path,
    write_checkpoint,
)
from kapps.training.checkpoint_state import (
    ResumedEpoch,
    assign_all,
    get_callback_states,
    list_carried_states,
    list_variables,
    mean_logs,
    read_metrics,
    set_callback_states,
    to_arrays,
)
from kapps.training.run_identity import describe_difference
from kapps.training.stop_requests import StopRequests, TrainingStopped

_RECENT = 2
"""Number of latest checkpoints that are kept."""


class Checkpoints(keras.callbacks.Callback):
    """Saves the complete state of a training, and restores it.

    The state is every variable of the model (also the random seeds of dropout) and of the optimizer, the states that
    recurrent layers carry from batch to batch, the metrics of an interrupted epoch, the state of Keras's callbacks, the
    step, and the notes of the run. The position in the data follows from the step: `train_dataset(first_step=...)`. A
    checkpoint is written to a temporary file, synced to the disk and renamed; then older ones than the last two are
    deleted. All are deleted when the training is complete.

        checkpoints = Checkpoints("runs/imagenet/checkpoints", steps_per_epoch=steps)
        step = checkpoints.restore(model)
        callbacks = checkpoints.surround([...])
        model.fit(dataset_from(step), initial_epoch=step // steps, callbacks=callbacks)

    SIGTERM and Ctrl-C end the training after the current step, with a checkpoint and the exception `TrainingStopped`.

    Args:
        directory: directory of the checkpoints; it is created if it does not exist.
        steps_per_epoch: steps of every epoch.
        interval: steps between two checkpoints. The end of an epoch always makes one.
        identity: the options and the data that determine the training, of JSON's types. A checkpoint of a training
            with other values is not restored. "datasets" is {name: identity}, of `kapps.data.source_identity`.
        notes: what the run needs to resume, of JSON's types; `restore` sets it, and every checkpoint saves it.
        write: whether this process saves. Of several workers only the first one saves, and all restore.
        epoch_ends: number of checkpoints at the ends of epochs to keep, for `kapps.training.average_checkpoints`.

    Attributes:
        step: number of completed steps.
        finished: whether a callback, such as early stopping, has ended the restored training.
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
        self.directory, self.steps_per_epoch = local_path(directory, "directory"), steps_per_epoch
        self.interval, self.write, self.epoch_ends = interval, write, epoch_ends
        self.identity = identity or {}
        self.notes = {} if notes is None else notes
        self.step = self._saved_step = 0
        self.finished = False
        self.resumed_epoch = False  # whether `fit` is in an epoch that an earlier process has begun
        self._earlier_logs = None  # steps and mean logs of the interrupted epoch, without metrics
        self._metrics = self._carried = None  # values of the interrupted epoch, until it continues
        self._callbacks, self._callback_states = [], None
        self._corrupt = set()
        self._requests = StopRequests(self)

    def restore(self, model: keras.Model) -> int:
        """Restores the latest complete checkpoint into a compiled model, and returns its step; 0 without one.

        A corrupt checkpoint is skipped with one line.

        Raises:
            ValueError: for a checkpoint of another model or training, and if all are corrupt.
        """
        model.optimizer.build(model.trainable_variables)
        paths, first_reason = list_checkpoints(self.directory), None
        for path in reversed(paths):
            try:
                content = read_checkpoint(path)
            except CorruptCheckpointError as error:
                first_reason = first_reason or str(error)
                self._corrupt.add(path)
                if self.write:
                    print_line(f"{path} is corrupt and was skipped: {error}")
                continue
            self._check(path, content, model)
            self._assign(content, model)
            return self.step
        if paths:
            raise ValueError(
                f"every checkpoint in {self.directory} is corrupt, {paths[-1].name} because {first_reason}: put back a "
                f"copy, or delete {self.directory} to train from scratch"
            )
        return 0

    def _check(self, path, content, model):
        difference = describe_difference(content.about["identity"], self.identity)
        if difference:
            raise ValueError(
                f"{path} belongs to a run with {difference}: use the same, give another --model_dir, or delete "
                f"{self.directory} to train from scratch"
            )
        saved = [(tuple(value.shape), str(value.dtype)) for value in content.arrays["v"]]
        dtype_of = keras.backend.standardize_dtype
        expected = [(tuple(v.shape), dtype_of(v.dtype)) for v in list_variables(model)]
        if saved != expected:
            raise ValueError(
                f"{path} does not fit {model.name} and its optimizer: delete {self.directory} to train from scratch"
            )

    def _assign(self, content, model):
        about, arrays = content.about, content.arrays
        assign_all(list_variables(model), arrays["v"])
        self.step, self.finished = about["step"], about["finished"]
        self.notes.clear()
        self.notes.update(about["notes"])
        self.resumed_epoch = self.step % self.steps_per_epoch != 0
        self._metrics = arrays["m"] if self.resumed_epoch else None
        self._carried = to_arrays(list_carried_states(model))
        if self.resumed_epoch and about["logs"]:
            self._earlier_logs = self.step % self.steps_per_epoch, about["logs"]
        self._callback_states = about["callbacks"], arrays["c"]

    def save(self, logs: dict | None = None) -> pathlib.Path | None:
        """Writes a checkpoint of the current step, and then deletes the checkpoints that are not kept.

        Args:
            logs: the mean logs of the current epoch so far.

        Returns:
            The path of the checkpoint, or `None` if this process does not save.

        Raises:
            TrainingStopped: if the file cannot be written or a weight is not finite; older checkpoints remain.
        """
        if not self.write:
            return None
        values = to_arrays(list_variables(self.model))
        if not all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"):
            self._stop(f"a weight is not finite; {self.describe_last()}")
        in_epoch = self.step % self.steps_per_epoch != 0
        metrics = read_metrics(self.model) if in_epoch else []
        callback_states, callback_arrays = get_callback_states(self._callbacks)
        about = {
            "step": self.step,
            "finished": bool(self.model.stop_training) and not in_epoch,
            "identity": self.identity,
            "notes": self.notes,
            "callbacks": callback_states,
            "logs": {} if metrics else self.add_earlier_logs(logs or {}),
        }
        path = path_of_step(self.directory, self.step)
        try:
            write_checkpoint(path, about, {"v": values, "m": metrics, "c": callback_arrays})
        except OSError as error:
            self._stop(
                f"{path} cannot be written ({error.strerror or error}); {self.describe_last()}"
            )
        self._corrupt.discard(path)
        self._delete_old()
        return path

    def _delete_old(self):
        """Deletes the checkpoints that are older than those that are kept, and corrupt ones."""
        paths = self._complete()
        for path in {*list_checkpoints(self.directory)} - {*paths[-_RECENT:], *self.epoch_files()}:
            try:
                path.unlink()
            except OSError as error:
                if path not in self._corrupt:  # for example a folder, which is left where it is
                    print_line(f"{path} cannot be deleted: {error.strerror}")
                    self._corrupt.add(path)

    def _complete(self):
        """Returns the checkpoints that are not known to be corrupt, the oldest first."""
        return [path for path in list_checkpoints(self.directory) if path not in self._corrupt]

    def epoch_files(self) -> list[pathlib.Path]:
        """Returns the checkpoints at the ends of the last `epoch_ends` epochs, the oldest first."""
        ends = [path for path in self._complete() if step_of_path(path) % self.steps_per_epoch == 0]
        return ends[-self.epoch_ends :] if self.epoch_ends else []

    def describe_last(self) -> str:
        """Returns, as text, the checkpoint that the training would resume from."""
        paths = self._complete()
        if not paths:
            return "there is no checkpoint yet"
        return f"{paths[-1]} is the last good checkpoint; run the same command to resume from it"

    def delete(self) -> None:
        """Deletes all checkpoints, the oldest first, so that the same command trains from scratch."""
        if self.write:
            for path in list_checkpoints(self.directory):
                if path.is_file():
                    path.unlink()
            if self.directory.is_dir() and not any(self.directory.iterdir()):
                self.directory.rmdir()

    def surround(self, callbacks: list[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        """Returns the callbacks for `fit`: the given ones, with this one before and after them.

        A checkpoint at the end of an epoch contains the notes that they have written, and their state: that of Keras's
        callbacks, and of others with the methods `get_state`, which returns values of JSON's types, and `set_state`.
        """
        self._callbacks = list(callbacks)
        return [ResumedEpoch(self), *callbacks, self]

    def on_train_begin(self, logs=None) -> None:
        self._saved_step = self.step
        if self._callback_states:
            set_callback_states(self._callbacks, *self._callback_states)
            self._callback_states = None
        self._requests.start()

    def on_epoch_begin(self, epoch, logs=None) -> None:
        if self._metrics is not None:  # a callback may have reset the carried states
            assign_all(list_carried_states(self.model), self._carried)

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.step += 1
        self._requests.end_step()
        if self._metrics is not None:
            # Keras creates the metrics in the first step. They are sums; add that of the steps before the interruption.
            sums = to_arrays(self.model.metrics_variables)
            if [value.shape for value in self._metrics] == [value.shape for value in sums]:
                sums = [a + b for a, b in zip(self._metrics, sums, strict=True)]
                assign_all(self.model.metrics_variables, sums)
            self._metrics = self._carried = None
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self._stop(f"the loss is {loss}; {self.describe_last()}")
        if self.step % self.steps_per_epoch == 0:
            # In a resumed epoch, `fit` expects more steps than remain.
            self.model.stop_training = self.resumed_epoch
        elif self.step % self.interval == 0 or self._requests.signal:
            self._save_and_stop_if_requested(logs)

    def on_epoch_end(self, epoch, logs=None) -> None:
        self._save_and_stop_if_requested()

    def on_train_end(self, logs=None) -> None:  # or after an exception in `fit`
        self._requests.end()

    def add_earlier_logs(self, logs: dict) -> dict:
        """Returns the logs of an epoch, with the steps before an interruption if the metrics do not hold them."""
        logs = {key: float(value) for key, value in logs.items() if np.ndim(value) == 0}
        if not self._earlier_logs:
            return logs
        steps_before, earlier = self._earlier_logs
        steps_after = (self.step - 1) % self.steps_per_epoch + 1 - steps_before
        if self.step % self.steps_per_epoch == 0:
            self._earlier_logs = None
        return mean_logs(earlier, logs, (steps_before, steps_after))

    def _save_and_stop_if_requested(self, logs=None):
        with self._requests.saving():
            if self.step != self._saved_step:
                self.save(logs)
                self._saved_step = self.step
            if self._requests.signal:
                saved = "saved" if self.write else "the first worker saves"
                reason = f"{self._requests.name}; {saved}, run the same command to resume from here"
                self._stop(reason, code=128 + self._requests.signal)

    def _stop(self, reason, code=1):
        self._requests.end(stopped=True)
        raise TrainingStopped(f"step {self.step}: {reason}", code)

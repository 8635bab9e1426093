"""A training in a directory: started or resumed, evaluated and recorded."""

import functools
import importlib.util
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from kapps import _interrupts
from kapps._files import write_atomically
from kapps._local_paths import local_path
from kapps.tables import align_columns
from kapps.training.callbacks.history import Curves
from kapps.training.callbacks.progress import Progress
from kapps.training.callbacks.throughput import Throughput
from kapps.training.checkpoints import Checkpoints, TrainingStopped
from kapps.training.distribution import devices
from kapps.training.distribution.replicas import replica_workarounds
from kapps.training.fused_batch_norm import fused_batch_norms
from kapps.training.run_lock import lock_directory
from kapps.training.run_record import write_run_record

WRITTEN = ("model.keras", "curves.png", "history.csv", "run.json")


class Run:
    """One training in a directory. It starts, or resumes after an interruption, and is recorded.

    The directory is locked until the process ends (`kapps.training.lock_directory`).

    Args:
        directory: directory of the run. Every worker must have access to `checkpoints/` in it.
        strategy: strategy that the model is built under.
        epochs: epochs of the training.
        steps_per_epoch: steps of every epoch.
        batch_size: examples per step, over all replicas.
        identity: the options that determine the training, of JSON's types. A run that was started with other values
            does not resume.
        data: identity of each dataset by its name, such as {"training images": kapps.data.source_identity(source)}. A
            run that was started with other data does not resume.
        checkpoint_interval: steps between two checkpoints.
        epoch_ends: number of checkpoints at the ends of epochs to keep, for `kapps.training.average_checkpoints`.
        unit: what `batch_size` counts, "examples" or "tokens".
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        strategy: tf.distribute.Strategy,
        *,
        epochs: int,
        steps_per_epoch: int,
        batch_size: float,
        identity: dict,
        data: dict | None = None,
        checkpoint_interval: int = 500,
        epoch_ends: int = 0,
        unit: str = "examples",
    ):
        self.directory, self.strategy = local_path(directory, "directory"), strategy
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.batch_size, self.unit = batch_size, unit
        self.start_time = time.monotonic()
        self.is_chief = devices.is_chief(strategy)
        self.checkpoints = Checkpoints(
            self.directory / "checkpoints",
            steps_per_epoch=steps_per_epoch,
            interval=checkpoint_interval,
            identity=identity | ({"datasets": data} if data else {}),
            write=self.is_chief,
            epoch_ends=epoch_ends,
        )
        if self.is_chief:
            lock_directory(self.directory)
        _interrupts.set_description(self.checkpoints.describe_last)

    @property
    def history(self) -> list[dict]:
        """The logs of each epoch, those before an interruption included."""
        return self.checkpoints.notes.setdefault("history", [])

    def print_summary(self, model: keras.Model, source, *details: str) -> None:
        """Prints one line about model, dataset and training; only in the process that writes files.

        Args:
            model: the model.
            source: the `kapps.data.Source` of the images.
            *details: other facts to print.
        """
        if self.is_chief:
            count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            replicas = self.strategy.num_replicas_in_sync
            height, width = model.input_shape[1:3]
            print(
                f"{model.name}: {count:,} trainable parameters, {source.examples:,} images of {source.name} at "
                f"{height} x {width}, {len(source.class_names)} classes, "
                f"{self.epochs} epoch{'s' * (self.epochs > 1)} of {self.steps_per_epoch} steps, "
                f"{', '.join(details)}, {replicas} replica{'s' * (replicas > 1)}"
            )

    def fit(
        self,
        model: keras.Model,
        make_dataset: Callable[..., tf.data.Dataset],
        test: tf.data.Dataset,
        *,
        skipped=None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> tuple[dict, dict]:
        """Fits a compiled model, and returns its metrics on `test` before and after the training.

        Its batch norms are `fused_batch_norms`.

        Args:
            model: model that is built and compiled in the strategy's scope.
            make_dataset: function of `first_step` and `shard` that returns the endless dataset of training batches,
                such as `kapps.data.train_dataset`.
            test: batches of the evaluation after every epoch.
            skipped: the `kapps.data.SkippedImages` of the training images; a resumed run restores them.
            callbacks: callbacks that are called before the run's own.

        Raises:
            TrainingStopped: after SIGTERM and Ctrl-C, if the loss is not finite, and if a checkpoint cannot be written.
            ValueError: for a checkpoint of another training, and if all checkpoints are corrupt.
        """
        with self.strategy.scope():
            step = self.checkpoints.restore(model)
            self._check_same_step(step)
        notes = self.checkpoints.notes
        callbacks = [*callbacks, *self.make_callbacks(model)]
        if skipped is not None:
            skipped.restore(notes.get("skipped", {}))
            callbacks.insert(0, _SkippedNotes(notes, skipped))
        steps = self.epochs * self.steps_per_epoch
        if step and self.is_chief:
            print(f"resumes at step {step:,} of {steps:,}")
        # Keras warns after every evaluation of a dataset of unknown length, and images may be skipped.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        with replica_workarounds(model, self.strategy), fused_batch_norms(model):
            if "before" not in notes:
                notes["before"] = self._evaluate(model, test, "before training")
            dataset = devices.distribute_dataset(
                functools.partial(_of_shard, make_dataset, step), self.strategy
            )
            first_epoch = step // self.steps_per_epoch
            try:
                model.fit(
                    dataset, epochs=first_epoch if self.checkpoints.finished else self.epochs,
                    initial_epoch=first_epoch, steps_per_epoch=self.steps_per_epoch, shuffle=False,
                    validation_data=test, callbacks=callbacks, verbose=0,
                )  # fmt: skip
            finally:
                self.checkpoints.on_train_end()
            if step > steps:  # the checkpoint is of a longer training
                return notes["before"], self._evaluate(model, test, f"at step {step:,}")
        last = self.history[-1]
        return notes["before"], {key: last[f"val_{key}"] for key in notes["before"]}

    def save(self, model: keras.Model) -> keras.Model:
        """Writes `model.keras`, and returns the model loaded from it, which belongs to no strategy."""
        with write_atomically(self.directory / "model.keras") as path:
            model.save(path)
        return keras.saving.load_model(self.directory / "model.keras", safe_mode=True)

    def finish(
        self, before: dict, after: dict, reports: list, *, flags: dict, skipped=None
    ) -> None:
        """Writes `run.json`, prints the results as tables, and deletes the checkpoints.

        Args:
            before: metrics before the training, of `fit`.
            after: metrics after the training, of `fit`.
            reports: reports of `kapps.export.verify` on the exported files; may be empty.
            flags: values of the flags by name.
            skipped: the `kapps.data.SkippedImages` of the training images.
        """
        seconds = time.monotonic() - self.start_time
        results = {
            "before": before,
            "after": after,
            "exported": [report.record() for report in reports],
            "images": skipped.record_images() if skipped else {},
            "skipped_images": skipped.names if skipped else [],
            "seconds": round(seconds, 1),
        }
        write_run_record(self.directory / "run.json", flags, results)
        self.checkpoints.delete()
        print()
        print_table(
            ("evaluation", "before", "after"),
            *((key, f"{before[key]:.4f}", f"{after[key]:.4f}") for key in before),
        )
        if reports:
            print()
            print_table(_report_columns(reports), *map(_report_row, reports))
        print()
        print(f"written: {', '.join(str(self.directory / name) for name in WRITTEN)}")
        summary = f"{skipped.summary()}; " if skipped else ""
        print(f"{summary}{seconds:.0f} seconds in total")

    def make_callbacks(self, model: keras.Model) -> list[keras.callbacks.Callback]:
        """Returns the callbacks of the training in their order."""
        callbacks = [Throughput(self.batch_size, self.unit)]
        optimizers = getattr(model.optimizer, "optimizers", [model.optimizer])
        if any(optimizer.use_ema for optimizer in optimizers):
            callbacks.append(keras.callbacks.SwapEMAWeights())
        callbacks.append(Curves(self.directory, self.history, write=self.is_chief))
        if self.is_chief:
            callbacks.append(self._progress())
        if self.is_chief and importlib.util.find_spec("tensorboard"):
            events = self.directory / "tensorboard"
            callbacks.append(keras.callbacks.TensorBoard(events, write_graph=False))
        return self.checkpoints.surround(callbacks)

    def _progress(self):
        return Progress(self.epochs, self.steps_per_epoch, initial_step=self.checkpoints.step)

    def _evaluate(self, model, test, when):
        if not self.is_chief:
            return model.evaluate(test, verbose=0, return_dict=True)
        print(f"evaluation {when}", flush=True)
        return model.evaluate(test, verbose=0, return_dict=True, callbacks=[self._progress()])

    def _check_same_step(self, step):
        mean = self.strategy.reduce("MEAN", tf.constant(float(step)), axis=None)
        if abs(float(mean) - step) > 1e-3:
            raise TrainingStopped(
                f"the workers have different checkpoints in {self.directory}: give a --model_dir that all of them share"
            )


def print_table(*rows: tuple[str, ...]) -> None:
    """Prints rows of text in columns: the first one aligned left, the others right."""
    print(align_columns(rows))


def _report_columns(reports):
    agreement = reports[0].agreement[0]
    return "exported", "precision", "size", "largest difference", agreement, "ms", "ms, 2 threads"


def _report_row(report):
    size, difference = f"{report.bytes / 1e6:.1f} MB", f"{report.largest_difference:.1e}"
    times = (f"{report.milliseconds[n]:.1f}" for n in (1, 2))
    agreement = f"{report.agreement[1]:.1%}"
    return str(report.path), report.precision, size, difference, agreement, *times


def _of_shard(make_dataset, first_step, shard):
    return make_dataset(first_step=first_step, shard=shard)


class _SkippedNotes(keras.callbacks.Callback):
    """Saves the names of the images that could not be decoded in the notes of a run."""

    def __init__(self, notes, skipped):
        super().__init__()
        self.notes, self.skipped = notes, skipped

    def on_train_batch_begin(self, batch, logs=None) -> None:
        self.notes["skipped"] = self.skipped.state()

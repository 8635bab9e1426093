"""A training in a directory: begun, or gone on with where it was stopped, evaluated and recorded."""

import functools
import importlib.util
import math
import pathlib
import time
import warnings

import keras
import tensorflow as tf

from kapps._files import write_atomically
from kapps.tables import align_columns
from kapps.training.callbacks.history import Curves
from kapps.training.callbacks.progress import Progress
from kapps.training.callbacks.throughput import Throughput
from kapps.training.checkpoints import Checkpoints, TrainingStopped
from kapps.training.distribution import devices
from kapps.training.distribution.replicas import replica_workarounds
from kapps.training.run_record import write_run_record

WRITTEN = ("model.keras", "curves.png", "history.csv", "run.json")


class Run:
    """One training in a directory: it begins, or goes on where it was stopped, and is recorded.

    Args:
        directory: of the run; `checkpoints/` in it has to be where every worker sees it.
        strategy: that the model is built under.
        epochs: of the training.
        steps: of an epoch.
        batch_size: examples a step, over all replicas.
        identity: what settles the training, JSON's types: a run that was begun with other values is not gone on with.
        every: steps between two checkpoints.
        average: how many epochs' ends are kept for `kapps.training.average_checkpoints`.
        unit: what `batch_size` counts, where that is no examples: "tokens".
    """

    def __init__(
        self,
        directory,
        strategy,
        *,
        epochs,
        steps,
        batch_size,
        identity,
        every=500,
        average=0,
        unit="examples",
    ):
        self.directory, self.strategy = pathlib.Path(directory), strategy
        self.epochs, self.steps, self.batch_size, self.unit = epochs, steps, batch_size, unit
        self.began = time.monotonic()
        self.writes = devices.is_chief(strategy)
        self.checkpoints = Checkpoints(
            self.directory / "checkpoints",
            steps_per_epoch=steps,
            every=every,
            identity=identity,
            writes=self.writes,
            epochs=average,
        )

    def describe(self, model: keras.Model, source, *about) -> None:
        """Prints one line of what is trained on what, by the process that writes.

        Args:
            model: the model.
            source: the `kapps.data.Source` of the images.
            *about: what else there is to say.
        """
        if self.writes:
            count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            replicas = self.strategy.num_replicas_in_sync
            height, width = model.input_shape[1:3]
            print(
                f"{model.name}: {count:,} trainable parameters, {source.examples:,} images of {source.name} at "
                f"{height} x {width}, {len(source.class_names)} classes, {self.epochs} epochs of {self.steps} steps, "
                f"{', '.join(about)}, {replicas} replica{'s' * (replicas > 1)}"
            )

    def fit(
        self, model: keras.Model, images, test, *, faults=None, callbacks=()
    ) -> tuple[dict, dict]:
        """Fits a compiled model, and returns the metrics on `test` before and after.

        Args:
            model: built and compiled in the strategy's scope.
            images: function of `first_step` and `shard` that returns the batches to train on, endless, such as
                `kapps.data.train_dataset`.
            test: batches to evaluate on, after every epoch too.
            faults: the `kapps.data.SkippedImages` of `images`, which a run that goes on gets back.
            callbacks: that come before the run's own.

        Raises:
            TrainingStopped: for SIGTERM, a loss that is not finite, a checkpoint that cannot be written.
            ValueError: for a checkpoint of another training.
        """
        with self.strategy.scope():
            step = self.checkpoints.restore(model)
            self._agree(step)
        notes = self.checkpoints.notes
        accompanied = [*callbacks, *self.callbacks(model)]
        if faults is not None:
            faults.record(notes.get("skipped", []))
            accompanied.insert(0, _Skipped(notes, faults))
        if step and self.writes:
            print(f"goes on from step {step:,} of {self.epochs * self.steps:,}")
        # Keras says so of every evaluation whose length it cannot know, and images may be skipped.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        with replica_workarounds(model, self.strategy):
            if "before" not in notes:
                notes["before"] = model.evaluate(test, verbose=0, return_dict=True)
            batches = devices.distribute_dataset(
                functools.partial(_shard, images, step), self.strategy
            )
            model.fit(
                batches, epochs=self.epochs, initial_epoch=step // self.steps, steps_per_epoch=self.steps,
                shuffle=False, validation_data=test, callbacks=accompanied, verbose=0,
            )  # fmt: skip
            if step > self.epochs * self.steps:
                # What there is lies beyond the last epoch asked for.
                return notes["before"], model.evaluate(test, verbose=0, return_dict=True)
        last = notes["history"][-1]
        return notes["before"], {key: last[f"val_{key}"] for key in notes["before"]}

    def keep(self, model: keras.Model) -> keras.Model:
        """Writes `model.keras`, and returns the model that it holds, which belongs to no strategy."""
        with write_atomically(self.directory / "model.keras") as path:
            model.save(path)
        return keras.saving.load_model(self.directory / "model.keras", safe_mode=True)

    def finish(self, before: dict, after: dict, reports: list, *, flags: dict, faults=None) -> None:
        """Writes `run.json`, prints what came of the run as tables, and deletes the checkpoints.

        Args:
            before: metrics, of `fit`.
            after: metrics, of `fit`.
            reports: of the exported files, by `kapps.export.verify`; none where there are no such files.
            flags: as they were resolved.
            faults: the `kapps.data.SkippedImages` of the images.
        """
        results = {
            "before": before,
            "after": after,
            "exported": [report.record() for report in reports],
            "skipped_images": faults.names if faults else [],
            "seconds": round(time.monotonic() - self.began, 1),
        }
        write_run_record(self.directory / "run.json", flags, results)
        self.checkpoints.complete()
        print()
        table(
            ("in evaluation", "before", "after"),
            *((key, f"{before[key]:.4f}", f"{after[key]:.4f}") for key in before),
        )
        if reports:
            print()
            table(EXPORTED, *map(_row, reports))
        print()
        print(f"written: {', '.join(str(self.directory / name) for name in WRITTEN)}")
        skipped = f"{faults.summary()}; " if faults else ""
        print(f"{skipped}{results['seconds']:.0f} seconds in all")

    def callbacks(self, model: keras.Model) -> list[keras.callbacks.Callback]:
        """Returns what accompanies the training, in its order."""
        rows = self.checkpoints.notes.setdefault("history", [])
        found = [Throughput(self.batch_size, self.unit)]
        if model.optimizer.use_ema:
            found.append(keras.callbacks.SwapEMAWeights())
        found.append(Curves(self.directory, rows, writes=self.writes))
        if self.writes:
            found.append(Progress(self.epochs, self.steps, done=self.checkpoints.step))
        if self.writes and importlib.util.find_spec("tensorboard"):
            events = self.directory / "tensorboard"
            found.append(keras.callbacks.TensorBoard(events, write_graph=False))
        return self.checkpoints.around(found)

    def _agree(self, step):
        mean = self.strategy.reduce("MEAN", tf.constant(float(step)), axis=None)
        if abs(float(mean) - step) > 1e-3:
            raise TrainingStopped(
                f"workers found different checkpoints in {self.directory}: give a --model_dir that all of them see"
            )


def table(*rows: tuple[str, ...]) -> None:
    """Prints rows of text under one another, the first column to the left."""
    print(align_columns(rows))


EXPORTED = (
    "exported", "precision", "size", "largest difference", "top-1 agreement", "ms", "ms, 2 threads",
)  # fmt: skip


def _row(report):
    size, difference = f"{report.bytes / 1e6:.1f} MB", f"{report.largest_difference:.1e}"
    times = (f"{report.milliseconds[n]:.1f}" for n in (1, 2))
    agreement = f"{report.top1_agreement:.1%}"
    return str(report.path), report.precision, size, difference, agreement, *times


def _shard(images, first_step, shard):
    return images(first_step=first_step, shard=shard)


class _Skipped(keras.callbacks.Callback):
    """Keeps what could not be read among a run's notes."""

    def __init__(self, notes, faults):
        super().__init__()
        self.notes, self.faults = notes, faults

    def on_train_batch_begin(self, batch, logs=None):
        self.notes["skipped"] = self.faults.names

"""A training that has a budget of seconds instead of a number of steps."""

import math
import time

import keras

from kapps._checked import checked
from kapps.training.checkpoints import TrainingStopped
from kapps.training.image_schedules import Schedule

UNBOUNDED_STEPS = 10**9
"""`steps_per_epoch` of `fit`: `TimeBudget` ends the epochs."""
_NOMINAL_STEPS = 10_000
"""Steps that a schedule is computed for; the fraction of the time spent is the position in it."""


class TimeBudget(keras.callbacks.Callback):
    """Ends a training after a number of seconds of training steps, divided into equal epochs.

        budget = TimeBudget(45)
        model.compile(budget.make_optimizer(schedule, batch_size), ...)
        model.fit(endless_dataset, epochs=budget.epochs, steps_per_epoch=UNBOUNDED_STEPS, callbacks=[budget, ...])

    The first step, which traces the graph, and evaluations do not count. The number of steps depends on the machine
    and its load. Place this callback before callbacks that read the logs of an epoch: it adds "seconds" and "steps".

    Args:
        seconds: of training steps.
        epochs: number of epochs; fewer are trained if a step takes longer than an epoch.

    Raises:
        ValueError: if `seconds` or `epochs` is not positive.
    """

    @checked
    def __init__(self, seconds: float, epochs: int = 10):
        super().__init__()
        if not (seconds > 0 and epochs >= 1):
            raise ValueError(f"seconds={seconds}, epochs={epochs}: both must be positive")
        self.seconds, self.epochs = float(seconds), epochs
        self.fraction = keras.Variable(0.0, trainable=False, name="fraction")
        self.elapsed, self.steps = 0.0, 0
        self._last_time = None

    def make_optimizer(self, schedule: Schedule, batch_size: int) -> keras.optimizers.Optimizer:
        """Returns the optimizer of a schedule, its learning rate a function of the fraction of time spent.

        Args:
            schedule: the schedule.
            batch_size: images per batch.

        Raises:
            ValueError: for a schedule with an average of the weights (`ema`), which needs a number of steps.
        """
        if schedule.ema:
            raise ValueError(
                f"ema={schedule.ema}: an average of the weights needs a number of steps; give epochs, or ema=0"
            )
        optimizer = schedule.make_optimizer(batch_size, _NOMINAL_STEPS)
        learning_rate = schedule.make_learning_rate(batch_size, _NOMINAL_STEPS)
        optimizer.learning_rate = _ByFraction(learning_rate, self.fraction)
        return optimizer

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._last_time = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None) -> None:
        now = time.perf_counter()
        epoch = self._epoch()
        if self.steps:
            self.elapsed += now - self._last_time
        self.steps, self._last_time = self.steps + 1, now
        self.fraction.assign(min(1.0, self.elapsed / self.seconds))
        self.model.stop_training = self._epoch() > epoch
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise TrainingStopped(f"step {self.steps}: the loss is {loss}")

    def on_epoch_end(self, epoch, logs=None) -> None:
        logs |= {"seconds": self.elapsed, "steps": self.steps}
        # `stop_training` ended the epoch; it ends the training only after the last one.
        self.model.stop_training = self._epoch() >= self.epochs

    def _epoch(self):
        return int(self.elapsed / self.seconds * self.epochs)


class _ByFraction(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a function of the fraction of a training, in [0, 1]; the step is ignored."""

    def __init__(self, schedule, fraction):
        self.schedule, self.fraction = schedule, fraction

    def __call__(self, step):
        return self.schedule(self.fraction * _NOMINAL_STEPS)

    def get_config(self) -> dict:
        raise NotImplementedError(
            "the learning rate of a TimeBudget cannot be saved: it has no steps"
        )

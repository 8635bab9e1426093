"""A training that is given a time rather than a number of steps."""

import math
import time

import keras

from kapps.training.checkpoints import TrainingStopped
from kapps.training.schedules import Schedule

UNBOUNDED_STEPS = 10**9
"""For `fit`'s `steps_per_epoch`: the clock ends the epochs."""
_NOMINAL = 10_000  # steps that a schedule is laid out for; the clock says how far it is


class TimeBudget(keras.callbacks.Callback):
    """Ends a training after so many seconds of its steps, and its epochs after equal parts of them.

        clock = TimeBudget(45)
        model.compile(clock.optimizer(schedule, batch_size), ...)
        model.fit(endless, epochs=clock.parts, steps_per_epoch=UNBOUNDED_STEPS, callbacks=[clock, ...])

    The first step, which traces, and evaluations are not counted. How many steps are taken depends on the machine, and
    on what else it does. Stand it before the callbacks that look at an epoch's logs: it adds "seconds" and "steps".

    Args:
        seconds: of steps.
        parts: epochs; fewer where a step takes longer than a part.

    Raises:
        ValueError: for no time, or no part.
    """

    def __init__(self, seconds: float, parts: int = 10):
        super().__init__()
        if not (seconds > 0 and parts >= 1):
            raise ValueError(f"a clock of {seconds} seconds in {parts} parts: both are positive")
        self.seconds, self.parts = float(seconds), parts
        self.share = keras.Variable(0.0, trainable=False, name="share")
        self.spent, self.steps = 0.0, 0
        self._last = None

    def optimizer(self, schedule: Schedule, batch_size: int) -> keras.optimizers.Optimizer:
        """Returns a schedule's optimizer, whose learning rate follows the share of the time that is spent.

        Raises:
            ValueError: for a schedule that averages weights, over steps that nobody can number.
        """
        if schedule.ema:
            raise ValueError(
                "a schedule with an average of the weights counts steps: give epochs, or ema=0"
            )
        optimizer = schedule.optimizer(batch_size, _NOMINAL)
        optimizer.learning_rate = _ByShare(schedule.rate(batch_size, _NOMINAL), self.share)
        return optimizer

    def on_epoch_begin(self, epoch, logs=None):
        self._last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        part = self._part()
        if self.steps:
            self.spent += now - self._last
        self.steps, self._last = self.steps + 1, now
        self.share.assign(min(1.0, self.spent / self.seconds))
        self.model.stop_training = self._part() > part
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise TrainingStopped(f"step {self.steps}: the loss is {loss}")

    def on_epoch_end(self, epoch, logs=None):
        logs |= {"seconds": self.spent, "steps": self.steps}
        # What ended the epoch ends the training at the end alone.
        self.model.stop_training = self._part() >= self.parts

    def _part(self):
        return int(self.spent / self.seconds * self.parts)


class _ByShare(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate by the share of a training, in [0, 1], wherever the steps stand."""

    def __init__(self, schedule, share):
        self.schedule, self.share = schedule, share

    def __call__(self, step):
        return self.schedule(self.share * _NOMINAL)

    def get_config(self):
        raise NotImplementedError("a training by the clock cannot be saved: it has no steps")

"""A training within a budget of seconds, with the clock of the test."""

import keras
import numpy as np
import pytest

from kapps import training
from kapps.training.callbacks import time_budget


class FakeTime:
    """Replaces the module `time`: every call is one second later."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1
        return self.now


def fit(monkeypatch, budget, schedule, loss="mse"):
    monkeypatch.setattr(time_budget, "time", FakeTime())
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(budget.make_optimizer(schedule, 256), loss)
    rates = []

    def append_rate(batch, logs):
        rates.append(float(model.optimizer.learning_rate))

    x = np.ones((4, 2), "float32")

    def endless():
        while True:
            yield x, np.ones((4, 1), "float32")

    history = model.fit(
        endless(), epochs=budget.epochs, steps_per_epoch=time_budget.UNBOUNDED_STEPS, verbose=0,
        callbacks=[budget, keras.callbacks.LambdaCallback(on_train_batch_end=append_rate)],
    ).history  # fmt: skip
    return rates, history


def test_the_time_ends_epochs_and_training_and_moves_the_learning_rate(monkeypatch):
    schedule = training.Schedule(epochs=1, learning_rate=0.5, weight_decay=0.0)
    rates, history = fit(monkeypatch, training.TimeBudget(20, epochs=5), schedule)
    # A step takes one second; the first step of the training does not count.
    assert history["seconds"] == [4, 8, 12, 16, 20] and history["steps"] == [5, 9, 13, 17, 21]
    cosine = [0.5 * (1 + np.cos(np.pi * fraction)) / 2 for fraction in np.arange(21) / 20]
    np.testing.assert_allclose(rates, cosine, atol=1e-4)


def test_a_step_that_is_longer_than_an_epoch_ends_it(monkeypatch):
    schedule = training.Schedule(epochs=1, learning_rate=0.5, weight_decay=0.0)
    _, history = fit(monkeypatch, training.TimeBudget(2, epochs=8), schedule)
    assert history["seconds"] == [1, 2]


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match="seconds=0"):
        training.TimeBudget(0)
    with pytest.raises(ValueError, match="ema="):
        training.TimeBudget(1).make_optimizer(training.get_schedule("modern"), 256)
    diverging = training.Schedule(epochs=1, learning_rate=1e30, weight_decay=0.0)
    with pytest.raises(training.TrainingStopped, match=r"step \d+: the loss is (inf|nan)"):
        fit(monkeypatch, training.TimeBudget(100), diverging)

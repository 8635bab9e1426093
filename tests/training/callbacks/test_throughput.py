"""Throughput, and the fraction of time spent waiting for data."""

import time
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training
from kapps.training.callbacks import throughput


def fit(pause, callbacks, *, batch=4, steps=20, epochs=2):
    """Fits a small model to a dataset that takes `pause` seconds per batch."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error", jit_compile=False)

    def slow():
        while True:
            time.sleep(pause)
            yield np.ones((batch, 3), "float32"), np.ones((batch, 1), "float32")

    spec = tuple(tf.TensorSpec((batch, n), tf.float32) for n in (3, 1))
    dataset = tf.data.Dataset.from_generator(slow, output_signature=spec)
    return model.fit(
        dataset, epochs=epochs, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=callbacks
    ).history


def test_a_slow_pipeline_is_measured_and_warned_about_once():
    with pytest.warns(UserWarning, match="wait for data .*: the pipeline delivers") as warned:
        history = fit(0.02, [training.Throughput(4)])
    assert sum("the pipeline delivers" in str(warning.message) for warning in warned) == 1
    assert all(0.3 < fraction <= 1 for fraction in history["input_wait"])
    # 4 examples per 0.02 s or more; prefetched batches add a few
    assert all(10 < rate < 300 for rate in history["examples_per_second"])


def test_a_slow_step_does_not_count_as_waiting(monkeypatch):
    """Only the step moves the clock: 4 examples per 0.02 s, and no waiting."""
    clock = types.SimpleNamespace(seconds=0.0)
    clock.perf_counter = lambda: clock.seconds
    monkeypatch.setattr(throughput, "time", clock)

    class Slow(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            clock.seconds += 0.02

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = fit(0.0, [training.Throughput(4), Slow()])
    assert history["input_wait"] == [0, 0]
    assert history["examples_per_second"] == pytest.approx([200, 200])


def test_the_end_of_the_data_ends_an_epoch():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    history = model.fit(
        tf.data.Dataset.from_tensor_slices((np.ones((10, 3)), np.ones((10, 1)))).batch(4),
        epochs=2, shuffle=False, verbose=0, callbacks=[training.Throughput(4)],
    )  # fmt: skip
    assert len(history.history["loss"]) == 2 and int(model.optimizer.iterations) == 6


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_batches_of_different_lengths_use_one_graph(steps_per_execution):
    """A graph for the shape of the first batch rounds differently, and a resumed run has another first batch."""
    traced = []

    class Traced(keras.layers.Layer):
        def call(self, x):
            traced.append(tuple(x.shape))
            return x

    def batches():
        for length in (3, 5, 4, 7, 3):
            yield np.ones((2, length, 1), "float32"), np.ones((2, length, 1), "float32")

    spec = (tf.TensorSpec((2, None, 1), tf.float32),) * 2
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    shapes = []
    for callbacks in ([], [training.Throughput(2)]):
        model = keras.Sequential([keras.Input((None, 1)), Traced(), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False, steps_per_execution=steps_per_execution)
        traced.clear()
        model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        shapes.append(set(traced))
    assert shapes == [{(2, None, 1)}] * 2
    assert int(model.optimizer.iterations) == 10

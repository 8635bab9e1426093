"""Throughput, waiting for data, and the lines that say how far a training is."""

import io
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training
from kapps.training.callbacks.progress import format_duration


def fit(pause, callbacks, *, batch=4, steps=20, epochs=2):
    """Fits a small model to data that takes `pause` seconds a batch."""
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


def test_a_slow_pipeline_is_measured_and_told_once():
    with pytest.warns(UserWarning, match="wait for data .*: the pipeline delivers") as told:
        history = fit(0.02, [training.Throughput(4)])
    assert sum("the pipeline delivers" in str(each.message) for each in told) == 1
    assert all(0.3 < fraction <= 1 for fraction in history["input_wait"])
    # 4 examples per 0.02 s or more; prefetched batches add a few
    assert all(10 < rate < 300 for rate in history["examples_per_second"])


def test_a_slow_step_is_no_fault_of_the_pipeline():
    class Slow(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            time.sleep(0.02)

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = fit(0.0, [training.Throughput(4), Slow()])
    assert all(share < 0.5 for share in history["input_wait"])
    assert all(rate < 200 for rate in history["examples_per_second"])


def test_the_end_of_the_data_ends_an_epoch():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    history = model.fit(
        tf.data.Dataset.from_tensor_slices((np.ones((10, 3)), np.ones((10, 1)))).batch(4),
        epochs=2, shuffle=False, verbose=0, callbacks=[training.Throughput(4)],
    )  # fmt: skip
    assert len(history.history["loss"]) == 2 and int(model.optimizer.iterations) == 6


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_batches_of_any_length_are_one_graph_as_they_are_keras(steps_per_execution):
    """The first batch's own shape would be another graph, which rounds otherwise: a run that goes on begins by one."""
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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_file_gets_lines_and_a_terminal_a_bar():
    texts = []
    for file in (io.StringIO(), Terminal()):
        progress = training.Progress(2, 20, interval=0.05, file=file)
        fit(0.02, [training.Throughput(10**9), progress], steps=20)
        texts.append(file.getvalue())
    lines, bar = texts
    assert "\r" not in lines and "[" not in lines
    ends = [line for line in lines.splitlines() if line.startswith(("epoch 1/2  ", "epoch 2/2  "))]
    assert len(ends) == 2 and all("loss 0." in end or "loss " in end for end in ends)
    assert len(lines.splitlines()) > 4 and "/20  loss " in lines and "/s" in lines
    assert bar.count("\n") == 2 and "epoch 2/2 [====" in bar
    assert "waiting for data" in ends[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "3 s"),
        (89, "89 s"),
        (600, "10 min"),
        (5399, "1 h 30 min"),
        (12000, "3 h 20 min"),
        (190800, "2 d 5 h"),
    ],
)
def test_a_duration_is_as_people_say_it(seconds, text):
    assert format_duration(seconds) == text

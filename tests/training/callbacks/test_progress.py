"""The printed progress of a training and of an evaluation, in a file and on a terminal."""

import io
import time

import keras
import numpy as np
import pytest

from kapps import training
from kapps.training.callbacks.progress import format_duration


class Slow(keras.callbacks.Callback):
    """Sleeps in every step of a training and of an evaluation."""

    def on_train_batch_begin(self, batch, logs=None):
        time.sleep(0.02)

    def on_test_batch_begin(self, batch, logs=None):
        time.sleep(0.02)


def make_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error", jit_compile=False)
    return model


X, Y = np.ones((80, 3), "float32"), np.ones((80, 1), "float32")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_file_has_lines_and_a_terminal_a_bar():
    texts = []
    for file in (io.StringIO(), Terminal()):
        progress = training.Progress(2, 20, interval=0.05, file=file)
        make_model().fit(
            X,
            Y,
            batch_size=4,
            epochs=2,
            verbose=0,
            callbacks=[training.Throughput(10**9), Slow(), progress],
        )
        texts.append(file.getvalue())
    lines, bar = texts
    assert "\r" not in lines and "[" not in lines
    ends = [line for line in lines.splitlines() if line.startswith(("epoch 1/2  ", "epoch 2/2  "))]
    assert len(ends) == 2 and all("loss 0." in end or "loss " in end for end in ends)
    assert len(lines.splitlines()) > 4 and "/20  loss " in lines and "/s" in lines
    assert bar.count("\n") == 2 and "epoch 2/2 [====" in bar
    assert "waiting for data" in ends[0]


def test_an_evaluation_prints_its_steps():
    texts = []
    for file in (io.StringIO(), Terminal()):
        progress = training.Progress(1, 20, interval=0.05, file=file)
        make_model().evaluate(X, Y, batch_size=2, verbose=0, callbacks=[Slow(), progress])
        texts.append(file.getvalue())
    lines, bar = texts
    assert "\r" not in lines and lines.splitlines()[0].startswith("evaluation  step ")
    assert "\revaluation  step " in bar and bar.endswith("\r") and "\n" not in bar


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
def test_a_duration_in_its_largest_units(seconds, text):
    assert format_duration(seconds) == text

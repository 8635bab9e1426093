"""The cell of the long short-term memory-network: an LSTM with a tape of one step, and the equations in NumPy."""

import keras
import numpy as np
import pytest

from kapps.layers import LSTMNCell

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 6, 3)).astype("float32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
def test_a_softmax_on_the_last_step_alone_is_an_lstm():
    layer = keras.layers.RNN(LSTMNCell(4, tape=1), return_sequences=True)
    lstm = keras.layers.RNN(keras.layers.LSTMCell(4), return_sequences=True)
    outputs = layer(X)
    lstm(X)
    names = ("kernel", "recurrent_kernel", "bias")
    lstm.set_weights([array(getattr(layer.cell, name)) for name in names])
    np.testing.assert_allclose(array(outputs), array(lstm(X)), atol=1e-6)


@pytest.mark.parametrize("tape", [3, 20])
def test_steps_are_the_equations(tape):
    cell = LSTMNCell(4, tape)
    layer = keras.layers.RNN(cell, return_sequences=True)
    layer(X)
    for weight in cell.weights:
        weight.assign(RANDOM.normal(size=weight.shape))
    w = {name: array(getattr(cell, name)) for name in (
        "kernel", "recurrent_kernel", "bias", "hidden_kernel", "input_kernel", "attended_kernel", "v"
    )}  # fmt: skip
    outputs = array(layer(X))
    for sequence, expected in zip(X, outputs, strict=True):
        hidden, cells, attended = [], [], np.zeros(4)
        for x, output in zip(sequence, expected, strict=True):
            h, c = np.zeros(4), np.zeros(4)
            if hidden:
                query = x @ w["input_kernel"] + attended @ w["attended_kernel"]
                scores = [
                    (np.tanh(state @ w["hidden_kernel"] + query) @ w["v"])[0]
                    for state in hidden[-tape:]
                ]
                s = np.exp(scores) / np.exp(scores).sum()
                h, c = s @ hidden[-tape:], s @ cells[-tape:]
            attended = h
            i, f, g, o = np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            hidden.append(sigmoid(o) * np.tanh(c))
            cells.append(c)
            np.testing.assert_allclose(output, hidden[-1], atol=1e-4)


def test_the_gradient_reaches_the_attention():
    cell = LSTMNCell(4, 5)
    x = keras.Input((6, 3))
    model = keras.Model(x, keras.layers.RNN(cell)(x))
    before = [array(w).copy() for w in cell.weights]
    model.compile("sgd", "mse", jit_compile=False)
    model.train_on_batch(X, np.ones((2, 4)))
    assert all((array(w) != old).any() for w, old in zip(cell.weights, before, strict=True))


def test_a_wrong_tape_is_an_error():
    for tape in (0, -1, 1.5):
        with pytest.raises(ValueError):
            LSTMNCell(4, tape)

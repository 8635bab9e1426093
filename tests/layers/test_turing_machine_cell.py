"""The cell of the neural Turing machine: addresses, reads, writes and whole steps, as loops in NumPy."""

import keras
import numpy as np
import pytest

from kapps.layers import TuringMachineCell
from kapps.layers.turing_machine_cell import address, read, write

RANDOM = np.random.default_rng(0)


def array(x):
    return keras.ops.convert_to_numpy(x)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def address_loop(m, before, k, beta, g, s, gamma):
    """Equations 5 to 9 of arXiv:1410.5401 for one head."""
    rows = len(m)
    cosines = [k @ row / (np.linalg.norm(k) * np.linalg.norm(row) + 1e-8) for row in m]
    w = g * softmax(beta * np.array(cosines)) + (1 - g) * before
    w = [sum(w[(i - j) % rows] * s[j + 1] for j in (-1, 0, 1)) for i in range(rows)]
    w = np.array(w) ** gamma
    return w / w.sum()


def sample_addressing(batch, heads, rows, width):
    """A memory and the parameters of its heads."""
    uniform = RANDOM.uniform
    memory = RANDOM.normal(size=(batch, rows, width))
    before, shift = uniform(0.01, 1, (batch, heads, rows)), uniform(0.01, 1, (batch, heads, 3))
    values = (
        memory,
        before / before.sum(-1, keepdims=True),
        RANDOM.normal(size=(batch, heads, width)),
        uniform(0, 5, (batch, heads, 1)),
        uniform(0, 1, (batch, heads, 1)),
        shift / shift.sum(-1, keepdims=True),
        uniform(1, 4, (batch, heads, 1)),
    )
    return [x.astype("float32") for x in values]


def test_addresses_are_the_equations():
    memory, before, *parameters = sample_addressing(2, 3, 5, 4)
    w = array(address(memory, before, *parameters))
    for b, head in np.ndindex(2, 3):
        k, beta, g, s, gamma = (x[b, head] for x in parameters)
        expected = address_loop(memory[b], before[b, head], k, beta, g, s, gamma)
        np.testing.assert_allclose(w[b, head], expected, rtol=1e-5, atol=1e-5)


def test_a_shift_of_one_row_goes_around_the_end():
    memory, before, k, beta, _, _, gamma = sample_addressing(1, 1, 4, 3)
    before = np.eye(4, dtype="float32")[None, 3:]
    zero, forward = np.zeros((1, 1, 1), "float32"), np.eye(3, dtype="float32")[None, 2:]
    w = address(memory, before, k, beta, zero, forward, gamma)
    np.testing.assert_allclose(array(w)[0, 0], [1, 0, 0, 0], atol=1e-6)


def test_content_addresses_the_row_of_the_key():
    memory, before, _, beta, _, _, gamma = sample_addressing(1, 1, 4, 3)
    one, stay = np.ones((1, 1, 1), "float32"), np.eye(3, dtype="float32")[None, 1:2]
    w = address(memory, before, 2 * memory[:, 2:3], 0 * beta + 500, one, stay, gamma)
    np.testing.assert_allclose(array(w)[0, 0], [0, 0, 1, 0], atol=1e-4)


def test_reads_and_writes_are_the_equations():
    memory = RANDOM.normal(size=(2, 5, 4)).astype("float32")
    w = RANDOM.uniform(size=(2, 2, 5)).astype("float32")
    erase, add = RANDOM.uniform(size=(2, 2, 2, 4)).astype("float32")
    written, reads = array(write(memory, w, erase, add)), array(read(memory, w))
    for b, i in np.ndindex(2, 5):
        row = memory[b, i]
        for head in range(2):
            row = row * (1 - w[b, head, i] * erase[b, head]) + w[b, head, i] * add[b, head]
        np.testing.assert_allclose(written[b, i], row, rtol=1e-5, atol=1e-5)
    for b, head in np.ndindex(2, 2):
        expected = sum(w[b, head, i] * memory[b, i] for i in range(5))
        np.testing.assert_allclose(reads[b, head], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("controller", ["lstm", "feed_forward"])
@pytest.mark.parametrize("learned", [False, True])
def test_steps_are_the_equations(controller, learned):
    rows, width, units, reads, writes = 4, 3, 5, 2, 1
    cell = TuringMachineCell(units, rows, width, reads, writes, controller, learned)
    x = RANDOM.normal(size=(2, 3, 6)).astype("float32")
    layer = keras.layers.RNN(cell, return_sequences=True)
    layer(x)
    for weight in cell.weights:
        weight.assign(RANDOM.normal(0, 0.7, weight.shape))
    outputs = array(layer(x))
    weights = {w.path.split("/", 1)[-1].rpartition("/")[2]: array(w) for w in cell.weights}
    for sequence, steps in zip(x, outputs, strict=True):
        m, w = np.full((rows, width), 1e-6), np.eye(rows)[[0] * 3]
        r, h, c = np.zeros((reads, width)), np.zeros(units), np.zeros(units)
        if learned:
            m = weights["first_memory"].reshape(rows, width).copy()
            r = np.tanh(weights["first_reads"]).reshape(reads, width)
            w = np.array([softmax(row) for row in weights["first_weights"].reshape(3, rows)])
        for x_t, output in zip(sequence, steps, strict=True):
            inputs = np.concatenate([x_t, r.ravel()])
            z = inputs @ weights["kernel"] + weights["bias"]
            if controller == "lstm":
                i, f, g, o = np.split(z + h @ weights["recurrent_kernel"], 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                h = np.tanh(z)
            z = np.clip(h @ weights["head_kernel"] + weights["head_bias"], -20, 20)
            parameters = z[: 3 * (width + 6)].reshape(3, width + 6)
            w = np.array(
                [
                    address_loop(
                        m, before, np.tanh(p[:width]), softplus(p[width]), sigmoid(p[width + 1]),
                        softmax(p[width + 2 : width + 5]), 1 + softplus(p[width + 5]),
                    )
                    for p, before in zip(parameters, w, strict=True)
                ]
            )  # fmt: skip
            r = w[:reads] @ m
            erase, add = np.split(z[3 * (width + 6) :], 2)
            for row in range(rows):
                m[row] = m[row] * (1 - w[2, row] * sigmoid(erase)) + w[2, row] * np.tanh(add)
            np.testing.assert_allclose(output, np.concatenate([h, r.ravel()]), atol=2e-4)


def test_the_gradient_is_that_of_finite_differences():
    cell = TuringMachineCell(3, 4, 2, dtype="float64")
    layer = keras.layers.RNN(cell, dtype="float64")
    x = RANDOM.normal(size=(1, 3, 2))
    layer(x)
    values = [RANDOM.normal(0, 0.5, w.shape) for w in cell.weights]

    def loss(shift=0.0):
        for weight, value in zip(cell.weights, values, strict=True):
            weight.assign(value + shift * directions[weight.path])
        return float(array(layer(x)).sum())

    directions = {w.path: RANDOM.normal(size=w.shape) for w in cell.weights}
    numeric = (loss(1e-4) - loss(-1e-4)) / 2e-4
    loss()
    if keras.backend.backend() != "tensorflow":
        pytest.skip("takes the gradient by TensorFlow")
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x))
    weights = [w.value for w in cell.trainable_weights]
    gradients = tape.gradient(total, weights)
    product = sum(
        float((array(g) * directions[w.path]).sum())
        for g, w in zip(gradients, cell.trainable_weights, strict=True)
    )
    assert product == pytest.approx(numeric, rel=1e-3)


def test_half_precision_keeps_memory_and_addresses_in_float32():
    cell = TuringMachineCell(4, 6, 3, dtype="mixed_float16")
    outputs = keras.layers.RNN(cell, return_sequences=True, dtype="mixed_float16")(
        RANDOM.normal(size=(2, 20, 3)).astype("float32")
    )
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    assert np.isfinite(array(outputs)).all()


@pytest.mark.parametrize("options", [{"controller": "gru"}, {"clip": 0}, {"rows": 0}, {"width": 0}])
def test_wrong_options_are_errors(options):
    with pytest.raises(ValueError):
        TuringMachineCell(4, **options)

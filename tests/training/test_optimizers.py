"""LAMB against its paper."""

import keras
import numpy as np
import pytest

from kapps import training


def lamb(w, gradients, rate, decay, epsilon):
    """Algorithm 2 of arXiv:1904.00962 in NumPy, with phi(z) = z."""
    mean, square = np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        r = mean / (1 - 0.9**t) / (np.sqrt(square / (1 - 0.999**t)) + epsilon)
        step = r + decay * w
        w = w - rate * np.linalg.norm(w) / np.linalg.norm(step) * step
    return w


@pytest.mark.parametrize("shape", [(3, 4), (3, 3, 2, 4)])
def test_lamb_follows_the_algorithm_of_the_paper(shape):
    draw = np.random.default_rng(0)
    w, gradients = draw.normal(size=shape), draw.normal(size=(5, *shape))
    variable = keras.Variable(w.astype("float32"), name="kernel")
    optimizer = training.Lamb(0.1, weight_decay=0.5, epsilon=1e-6)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))])
    expected = lamb(w, gradients, 0.1, 0.5, 1e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-5, atol=2e-6)


def test_lamb_makes_the_step_of_adam_without_decay():
    draw = np.random.default_rng(0)
    w, gradients = draw.normal(size=4), draw.normal(size=(5, 4)).astype("float32")
    results = []
    for optimizer in (training.Lamb(0.1, weight_decay=0.5), keras.optimizers.Adam(0.1)):
        variable = keras.Variable(w.astype("float32"), name="bias")
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        results.append(keras.ops.convert_to_numpy(variable))
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)


def test_lamb_changes_zeros_only_by_the_gradient():
    """A kernel of zeros and a gradient of zeros do not divide by zero."""
    variable = keras.Variable(np.zeros(2, "float32"), name="kernel")
    optimizer = training.Lamb(0.1, weight_decay=0.5)
    optimizer.build([variable])
    optimizer.apply([keras.ops.zeros(2)])
    np.testing.assert_array_equal(variable, [0, 0])
    optimizer.apply([keras.ops.ones(2)])
    assert np.isfinite(keras.ops.convert_to_numpy(variable)).all() and float(variable[0]) < 0

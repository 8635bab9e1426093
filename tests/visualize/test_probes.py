"""Linear probes: the convex optimum, layers that keep or lose what they are given, and errors."""

import keras
import numpy as np
import pytest
from keras import layers

from kapps.visualize import probes

RANDOM = np.random.default_rng(0)
CLASSES = RANDOM.integers(0, 3, 300)
IMAGES = RANDOM.normal(size=(300, 4, 4, 1)).astype("float32")
IMAGES[np.arange(300), CLASSES, 0, 0] += 2
TRAIN, TEST = (IMAGES[:200], CLASSES[:200]), (IMAGES[200:], CLASSES[200:])


def newton_loss(x, y, x_test, y_test, l2):
    """Softmax regression by Newton's method in float64."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, x_test = (
        (np.c_[(a - mean) / deviation, np.ones(len(a))]).astype("float64") for a in (x, x_test)
    )
    w, target = np.zeros((x.shape[1], 3)), np.eye(3)[y]
    penalty = np.diag(np.r_[np.full(x.shape[1] - 1, 2 * l2), 1e-9])
    for _ in range(30):
        z = np.exp(x @ w - (x @ w).max(axis=1, keepdims=True))
        p = z / z.sum(axis=1, keepdims=True)
        gradient = x.T @ (p - target) / len(x) + penalty @ w
        hessian = np.zeros((w.size, w.size))
        for row, q in zip(x, p, strict=True):
            hessian += np.kron(np.diag(q) - np.outer(q, q), np.outer(row, row)) / len(x)
        hessian += np.kron(np.eye(3), penalty)
        w -= np.linalg.lstsq(hessian, gradient.T.ravel(), rcond=None)[0].reshape(3, -1).T
    logits = x_test @ w
    log_sums = np.log(np.exp(logits).sum(axis=1))
    return (log_sums - logits[np.arange(len(y_test)), y_test]).mean()


def test_a_probe_of_the_input_is_softmax_regression():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(name="flat"), layers.Dense(2)])
    (result,) = probes.probe(model, TRAIN, TEST, ["flat"], l2=0.01)
    expected = newton_loss(
        *(x.reshape(len(x), -1) if i % 2 == 0 else x for i, x in enumerate((*TRAIN, *TEST))), 0.01
    )
    assert result.loss == pytest.approx(expected, abs=1e-3)
    assert result.features == 16 and result.train_error <= result.error < 0.3


def test_a_layer_that_loses_the_classes_has_the_error_of_chance():
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), layers.Activation("linear", name="same"), layers.GlobalMaxPooling2D(name="most"),
         layers.Dense(3)]
    )  # fmt: skip
    first, second = probes.probe(model, TRAIN, TEST, features=12)
    assert (first.layer, second.layer) == ("same", "most")
    assert first.features == 12 and second.features == 1
    assert first.error < 0.4 < second.error


def test_bad_arguments_are_errors():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="one index for each image"):
        probes.probe(model, (IMAGES, CLASSES[:3]), TEST)
    with pytest.raises(ValueError, match="no layer 'other'"):
        probes.probe(model, TRAIN, TEST, ["other"])

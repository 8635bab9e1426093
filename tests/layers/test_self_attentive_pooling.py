"""Self-attentive pooling: the equations and the penalty in NumPy."""

import keras
import numpy as np
import pytest

from kapps.layers import SelfAttentivePooling

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 5, 4)).astype("float32")
MASK = np.arange(5) < np.array([[5], [2], [1]])


def array(x):
    return keras.ops.convert_to_numpy(x)


def rows_of_weights(layer, x):
    """A = softmax(W_2 tanh(W_1 H^T)) of one sequence."""
    scores = array(layer.hop_kernel).T @ np.tanh(array(layer.kernel).T @ x.T)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mask", [None, MASK])
def test_outputs_weights_and_penalty_are_the_equations(mask):
    layer = SelfAttentivePooling(3, 6, penalty=0.5)
    m, a = layer(X, mask=mask, return_attention_scores=True, training=True)
    (loss,) = layer.losses
    penalties = []
    for i, x in enumerate(X):
        length = 5 if mask is None else mask[i].sum()
        expected = rows_of_weights(layer, x[:length])
        np.testing.assert_allclose(array(a)[i, :, :length], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(array(a)[i, :, length:], 0)
        np.testing.assert_allclose(array(m)[i], expected @ x[:length], rtol=1e-5, atol=1e-5)
        penalties.append(np.square(expected @ expected.T - np.eye(3)).sum())
    assert float(array(loss)) == pytest.approx(0.5 * np.mean(penalties), rel=1e-4)


def test_the_penalty_is_added_in_training_only():
    layer = SelfAttentivePooling(2, 3)
    layer(X)
    assert not layer.losses
    layer = SelfAttentivePooling(2, 3, penalty=0)
    layer(X, training=True)
    assert not layer.losses


def test_wrong_options_are_errors():
    for options in ({"hops": 0}, {"units": 0}, {"penalty": -1.0}):
        with pytest.raises(ValueError):
            SelfAttentivePooling(**{"hops": 2, "units": 3, **options})

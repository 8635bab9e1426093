"""The feed-forward layer: its equation, chunks with the same outputs and gradients, files."""

import keras
import numpy as np
import pytest
from attention_inputs import K, M, X, array, check_file, randomise

from kapps.layers import FeedForward, sigmoid_gelu


@pytest.mark.parametrize("chunk", [None, 1, 4, M])
def test_outputs_are_the_equation(chunk):
    layer = FeedForward(5, sigmoid_gelu, chunk=chunk)
    layer.build(X.shape)
    w = randomise(layer)
    hidden = X @ w["kernel1"] + w["bias1"]
    hidden = hidden / (1 + np.exp(-1.702 * hidden))
    np.testing.assert_allclose(array(layer(X)), hidden @ w["kernel2"] + w["bias2"], atol=1e-4)


def test_chunks_have_the_same_gradients():
    updated = []
    for chunk in (None, 4):
        x = keras.Input((None, K))
        layer = FeedForward(5, chunk=chunk)
        model = keras.Model(x, layer(x))
        randomise(layer)
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
        model.train_on_batch(X, np.ones_like(X))
        updated.append(model.get_weights())
    for one, other in zip(*updated, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert np.abs(updated[0][0] - before[0]).max() > 0.01


def test_files_and_cost(tmp_path):
    layer = FeedForward(5, sigmoid_gelu, chunk=4)
    check_file(layer, tmp_path / "model.keras")
    assert layer.profile_cost([(2, 3, K)], [(2, 3, K)])["macs"] == 2 * 3 * 2 * K * 5

"""Positional encodings against their equations, from any start, and in files."""

import keras
import numpy as np
import pytest
from attention_inputs import RANDOM, K, M, X, array, check_file

from kapps.layers import LearnedPositionalEncoding, SinusoidalPositionalEncoding, StepEncoding


def test_sinusoids_are_the_papers_at_any_length_and_from_any_start():
    d_model, layer = 6, SinusoidalPositionalEncoding(scale=2.0)
    x = RANDOM.normal(size=(2, 400, d_model)).astype("float32")
    positions, i = np.arange(400)[:, None], np.arange(d_model) // 2
    angles = positions / 10000 ** (2 * i / d_model)
    expected = 2 * x + np.where(np.arange(d_model) % 2, np.cos(angles), np.sin(angles))
    np.testing.assert_allclose(array(layer(x)), expected, atol=1e-4)
    one = layer(x[:, 7:8], start=keras.ops.convert_to_tensor(7))
    np.testing.assert_allclose(array(one), expected[:, 7:8], atol=1e-4)
    rows = layer(np.stack([x[0, 7:9], x[1, 300:302]]), start=np.array([7, 300]))
    np.testing.assert_allclose(array(rows)[0], expected[0, 7:9], atol=1e-4)
    np.testing.assert_allclose(array(rows)[1], expected[1, 300:302], atol=1e-4)


def test_learned_positions_start_anywhere_and_have_a_largest_length():
    layer = LearnedPositionalEncoding(M, scale=0.5)
    y = array(layer(X))
    np.testing.assert_allclose(y, X / 2 + array(layer.vectors), atol=1e-6)
    np.testing.assert_allclose(array(layer(X[:, 2:4], start=2)), y[:, 2:4], atol=1e-6)
    with pytest.raises(ValueError, match=r"7 steps.* 6 positions"):
        LearnedPositionalEncoding(M).build((None, 7, K))


def test_a_step_has_sines_of_its_number_or_a_trained_vector():
    sines = array(SinusoidalPositionalEncoding()(np.zeros((1, 9, K), "float32")))[0]
    y = array(StepEncoding(4, learned=False, scale=0.5)(X))
    np.testing.assert_allclose(y, X / 2 + sines[:M] + sines[4], rtol=1e-5, atol=1e-5)
    layer = StepEncoding(4)
    expected = X + sines[:M] + array(layer(X) * 0 + layer.vector)
    np.testing.assert_allclose(array(layer(X)), expected, rtol=1e-5, atol=1e-5)
    one = layer(X[:, 2:3], start=2)
    np.testing.assert_allclose(array(one), expected[:, 2:3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        SinusoidalPositionalEncoding(3.0),
        LearnedPositionalEncoding(M, 3.0),
        StepEncoding(3),
        StepEncoding(3, learned=False),
    ],
)
def test_files(layer, tmp_path):
    check_file(layer, tmp_path / "model.keras")

"""The gated linear unit: its equation, masks and files."""

import keras
import numpy as np
import pytest
from attention_inputs import K, X, array, check_file

from kapps.layers import GatedLinearUnit


def test_is_the_equation_and_keeps_the_mask():
    a, b = X[..., : K // 2], X[..., K // 2 :]
    expected = a / (1 + np.exp(-b))
    np.testing.assert_allclose(array(GatedLinearUnit()(X)), expected, atol=1e-6)
    x = keras.Input((None, K))
    y = GatedLinearUnit()(keras.layers.Masking()(x))
    model = keras.Model(x, keras.layers.GlobalAveragePooling1D()(y))
    padded = X.copy()
    padded[:, 4:] = 0
    np.testing.assert_allclose(array(model(padded)), expected[:, :4].mean(axis=1), atol=1e-6)


def test_files_and_errors(tmp_path):
    check_file(GatedLinearUnit(), tmp_path / "model.keras")
    with pytest.raises(ValueError, match="3 channels"):
        GatedLinearUnit()(np.zeros((1, 2, 3)))

"""Local response normalisation compared with the paper's formula."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import LocalResponseNormalization


def formula(a, k, size, alpha, beta):
    """Krizhevsky 2012, section 3.3, channel by channel."""
    b, half = np.empty_like(a), size // 2
    for i in range(a.shape[-1]):
        near = a[..., max(0, i - half) : i + half + 1]
        b[..., i] = a[..., i] / (k + alpha * (near**2).sum(axis=-1)) ** beta
    return b


def model(**options):
    image = keras.Input((None, None, 7))
    return keras.Model(image, LocalResponseNormalization(**options)(image))


@pytest.fixture
def values():
    return 50 * np.random.default_rng(0).normal(size=(2, 4, 3, 7)).astype("float32")


@pytest.mark.parametrize("options", [(2.0, 5, 1e-4, 0.75), (1.0, 3, 2e-2, 0.5), (1.0, 9, 1e-3, 1.0)])  # fmt: skip
def test_formula(values, options):
    output = model(**dict(zip(("k", "size", "alpha", "beta"), options, strict=True)))(values)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(output), formula(values, *options), rtol=1e-5)  # fmt: skip


def test_defaults_of_the_paper(values):
    output = keras.ops.convert_to_numpy(model()(values))
    np.testing.assert_allclose(output, formula(values, 2, 5, 1e-4, 0.75), rtol=1e-5)


def test_half_precision_does_not_overflow():
    """300 squared is beyond float16."""
    layer = LocalResponseNormalization(dtype="float16")
    values = np.full((1, 1, 1, 7), 300.0, "float16")
    output = keras.ops.convert_to_numpy(layer(values))
    assert output.dtype == np.float16
    np.testing.assert_allclose(output, formula(values.astype("float32"), 2, 5, 1e-4, 0.75), rtol=2e-3)  # fmt: skip


def test_saved_model_and_keras_layers_are_equal(values, tmp_path):
    ours = model(k=1.0, alpha=2e-5)
    expected = keras.ops.convert_to_numpy(ours(values))
    for i, network in enumerate((ours, kapps.to_keras_layers(ours))):
        network.save(tmp_path / f"{i}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{i}.keras", safe_mode=True)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(loaded(values)), expected, rtol=1e-6)


def test_cost_of_netscope():
    image = keras.Input((6, 5, 7))
    profile = kapps.profile(keras.Model(image, LocalResponseNormalization(size=5)(image)))
    assert (profile.elementwise, profile.macs) == ((2 * 5 - 1) * 6 * 5 * 7, 0)


@pytest.mark.parametrize("size", [0, 4])
def test_even_size_raises(size):
    with pytest.raises(ValueError, match="odd"):
        LocalResponseNormalization(size=size)

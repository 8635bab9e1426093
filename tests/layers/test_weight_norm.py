"""Weight normalisation against its equation, PyTorch, and the Keras convolution of the same kernel."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import WeightNormConv1D


def array(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def layer():
    """A causal layer of 3 steps, 4 to 5 channels, with random weights."""
    layer = WeightNormConv1D(5, 3, padding="causal", dilation_rate=2, name="conv")
    layer.build((None, None, 4))
    random = np.random.default_rng(0)
    layer.set_weights([random.normal(0, 0.7, w.shape) for w in layer.get_weights()])
    return layer


def sequences():
    return np.random.default_rng(1).normal(size=(2, 9, 4)).astype("float32")


def equation(x, v, b, g, dilation=2):
    """Salimans 2016, equation (2), then the convolution, for each filter and step."""
    y = np.zeros((*x.shape[:2], v.shape[-1]))
    for f in range(v.shape[-1]):
        w = g[f] * v[..., f] / np.sqrt((v[..., f] ** 2).sum())
        for t in range(x.shape[1]):
            for k in range(len(v)):
                before = t - dilation * (len(v) - 1 - k)
                if before >= 0:
                    y[:, t, f] += x[:, before] @ w[k]
    return y + b


def test_is_the_equation(layer):
    np.testing.assert_allclose(
        array(layer(sequences())), equation(sequences(), *layer.get_weights()), atol=1e-5
    )


def test_the_initial_kernel_is_v():
    layer = WeightNormConv1D(5, 3)
    layer.build((None, None, 4))
    v, b, g = layer.get_weights()
    np.testing.assert_allclose(g, np.sqrt((v**2).sum(axis=(0, 1))), rtol=1e-6)
    plain = keras.layers.Conv1D(5, 3)
    plain.build((None, None, 4))
    plain.set_weights([v, b])
    np.testing.assert_allclose(array(layer(sequences())), array(plain(sequences())), atol=1e-6)


def test_files_keras_layers_and_cost(layer, tmp_path):
    x = keras.Input((9, 4))
    model = keras.Model(x, layer(x))
    expected = array(model(sequences()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(sequences())), expected)
    plain = kapps.to_keras_layers(model)
    assert type(plain.get_layer("conv")) is keras.layers.Conv1D
    np.testing.assert_allclose(array(plain(sequences())), expected, atol=1e-6)
    assert kapps.profile(model).macs == kapps.profile(plain).macs == 9 * 3 * 4 * 5


def test_half_precision_keeps_small_kernels():
    """Squares of 1e-5 are zero in float16."""
    layer = WeightNormConv1D(1, 1, dtype="mixed_float16", use_bias=False)
    layer.build((None, None, 4))
    layer.set_weights([np.full((1, 4, 1), 1e-5), np.array([2.0])])
    outputs = array(layer(np.ones((1, 1, 4), "float16")))
    assert outputs.dtype == np.float16
    np.testing.assert_allclose(outputs, 4.0, rtol=0.02)  # 1e-5 itself has 8 bits there


@pytest.mark.peers
def test_is_pytorchs(layer):
    """With dim=0, the default of PyTorch: one length for each filter."""
    import torch

    peer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(4, 5, 3, dilation=2))
    v, b, g = (torch.tensor(w) for w in layer.get_weights())
    peer.parametrizations.weight.original0.data = g[:, None, None]
    peer.parametrizations.weight.original1.data = v.permute(2, 1, 0)
    peer.bias.data = b
    x = torch.nn.functional.pad(torch.tensor(sequences()).permute(0, 2, 1), (4, 0))
    np.testing.assert_allclose(
        array(layer(sequences())), peer(x).detach().permute(0, 2, 1), atol=1e-5
    )


def test_a_causal_layer_keeps_the_mask(layer):
    x = keras.Input((None, 4))
    y = keras.layers.GlobalAveragePooling1D()(layer(keras.layers.Masking()(x)))
    padded = sequences()
    padded[:, 6:] = 0
    mean = array(layer(padded[:, :6])).mean(axis=1)
    np.testing.assert_allclose(array(keras.Model(x, y)(padded)), mean, rtol=1e-5, atol=1e-5)

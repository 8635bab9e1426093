"""Spectral normalisation against the power iteration in NumPy, singular values, differences and PyTorch."""

import fingerprints
import keras
import layer_gradients
import numpy as np
import pytest
from finite_differences import assert_gradients_equal_differences

import kapps
from kapps.layers import SpectralNormConv2D, SpectralNormDense, SpectralNormEmbedding

RANDOM = np.random.default_rng(0)
KINDS = {
    "conv": (SpectralNormConv2D, (4, 3), (None, 5, 6, 2)),
    "dense": (SpectralNormDense, (4,), (None, 6)),
    "embedding": (SpectralNormEmbedding, (7, 4), (None,)),
}


def array(x):
    return keras.ops.convert_to_numpy(x)


def matrix(kind, w):
    """W as a matrix (rows, columns), columns the filters, the units, or the vectors of an embedding."""
    return w.T if kind == "embedding" else w.reshape(-1, w.shape[-1])


def iterate(w, u):
    """One step of the power iteration, Miyato 2018, algorithm 1: sigma and the next u."""
    v = w @ u
    v = v / np.sqrt((v**2).sum())
    u = w.T @ v
    u = u / np.sqrt((u**2).sum())
    return v @ w @ u, u


def build(kind):
    """A layer with random weights, its inputs, and W and u."""
    layer_class, arguments, shape = KINDS[kind]
    layer = layer_class(*arguments, name=kind)
    layer.build(shape)
    layer.set_weights([RANDOM.normal(size=w.shape) for w in layer.get_weights()])
    x = RANDOM.normal(size=(3, *shape[1:])).astype("float32")
    x = np.array([0, 6, 2], "int32") if kind == "embedding" else x
    return layer, x, array(layer.raw_weight()), array(layer.u)


@pytest.mark.parametrize("kind", KINDS)
def test_each_training_call_is_one_step_of_the_power_iteration(kind):
    layer, x, w, u = build(kind)
    plain = layer.to_keras_layers()
    plain.build(KINDS[kind][2])
    for _ in range(3):
        sigma, after = iterate(matrix(kind, w), u)
        bias = [] if kind == "embedding" else [array(layer.bias)]
        plain.set_weights([w / sigma, *bias])
        for training in (False, True):  # without training, u stays as it is
            np.testing.assert_allclose(array(layer.u), u, rtol=1e-5, atol=1e-6)
            y = array(layer(x, training=training))
            np.testing.assert_allclose(y, array(plain(x)), rtol=1e-4, atol=1e-5)
        u = after
    np.testing.assert_array_equal(array(layer.raw_weight()), w)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_singular_value_becomes_1(kind):
    layer, x, w, _ = build(kind)
    for _ in range(60):
        layer(x, training=True)
    singular = np.linalg.svd(matrix(kind, w), compute_uv=False)
    np.testing.assert_allclose(array(layer.estimate()[0]), singular[0], rtol=2e-3)
    normalised = matrix(kind, array(layer.normalise()[0]))
    np.testing.assert_allclose(np.linalg.svd(normalised, compute_uv=False)[0], 1, rtol=2e-3)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_gradients_equal_differences_where_the_iteration_has_converged(kind):
    """There u' and v are constant to first order; elsewhere the gradient of Miyato's equation 12 takes them so."""
    with fingerprints.float64():
        layer_class, arguments, shape = KINDS[kind]
        layer = layer_class(*arguments)
        x = keras.Input(shape[1:])
        model = keras.Model(x, layer(x))
        model.set_weights([RANDOM.normal(size=w.shape) for w in model.get_weights()])
        inputs = RANDOM.normal(size=(2, *shape[1:]))
        for _ in range(60):
            model(inputs, training=True)
        assert_gradients_equal_differences(model, inputs)


def test_gradients_of_the_iteration_take_u_and_v_as_constants():
    """The gradient of W is (G - sum(G * W / sigma) v u'^T) / sigma for the gradient G of W / sigma."""
    layer, x, w, u = build("dense")
    upstream = RANDOM.normal(size=(3, 4)).astype("float32")
    _, of_weights = layer_gradients.gradients(layer, x, upstream)
    _, u = iterate(w, u)  # the step for the gradient of x was the first one
    v = w @ u / np.linalg.norm(w @ u)
    sigma, after = iterate(w, u)
    g = x.T @ upstream
    expected = (g - (g * w).sum() / sigma * np.outer(v, after)) / sigma
    np.testing.assert_allclose(of_weights["kernel"], expected, rtol=1e-3, atol=1e-3)


def test_keras_wrapper_changes_the_weight_itself():
    """Why kapps has layers of its own: Keras's wrapper writes W / sigma over W in each training call."""
    wrapper = keras.layers.SpectralNormalization(keras.layers.Dense(4))
    x = RANDOM.normal(size=(3, 6)).astype("float32")
    wrapper.build(x.shape)
    before = array(wrapper.kernel) * 5
    wrapper.kernel.assign(before)
    wrapper(x, training=True)
    assert np.abs(array(wrapper.kernel) - before).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_files_keras_layers_cost_and_policies(kind, tmp_path):
    layer_class, arguments, shape = KINDS[kind]
    _, x, *_ = build(kind)
    dtype = "int32" if kind == "embedding" else "float32"
    image = keras.Input(shape[1:], dtype=dtype)
    model = keras.Model(image, layer_class(*arguments, name="normalised")(image))
    model.set_weights([RANDOM.normal(size=w.shape) for w in model.get_weights()])
    expected = array(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), expected)
    plain = kapps.to_keras_layers(model)
    assert type(plain.get_layer("normalised")).__module__.startswith("keras.")
    np.testing.assert_allclose(array(plain(x)), expected, rtol=1e-4, atol=1e-5)
    assert kapps.profile(model).macs == kapps.profile(plain).macs
    half = layer_class(*arguments, dtype="mixed_bfloat16")
    half.build(shape)
    half.set_weights(model.get_weights())
    assert half.u.dtype == "float32"
    y = array(keras.ops.cast(half(x, training=True), "float32"))
    np.testing.assert_allclose(y, expected, rtol=0.05, atol=0.05)


@pytest.mark.peers
def test_is_pytorchs():
    """PyTorch's rows are the filters: its v is the u here. In training it iterates once, then uses both vectors."""
    import torch

    layer, x, w, u = build("dense")
    peer = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(6, 4))
    norm = peer.parametrizations.weight[0]
    peer.parametrizations.weight.original.data = torch.tensor(w.T)
    peer.bias.data = torch.tensor(array(layer.bias))
    norm._u.data = torch.tensor(u / np.linalg.norm(u))
    for _ in range(3):
        with torch.no_grad():
            _, after = iterate(w, u)
            v = w @ u / np.linalg.norm(w @ u)
            norm._v.data = torch.tensor(v.astype("float32"))
            norm._u.data = torch.tensor(after.astype("float32"))
            peer.eval()
            expected = peer(torch.tensor(x)).numpy()
        np.testing.assert_allclose(array(layer(x, training=True)), expected, rtol=1e-4, atol=1e-5)
        u = after

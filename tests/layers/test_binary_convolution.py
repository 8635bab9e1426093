"""Binary convolutions against their equations, the gradients of two codes, differences, and NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

import kapps
from kapps.layers import BinaryConv2D, ZeroMeanClip, binary_convolution
from kapps.layers.binary_convolution import binary_sign

CENTRED = np.array([1.5, 0.0, -0.5, -1.0]).reshape(1, 1, 4, 1).astype("float32")


def binary_kernel(*args, **options):
    signs, alpha = binary_convolution.binary_kernel(*args, **options)
    return signs * alpha


def array(x):
    return keras.ops.convert_to_numpy(x)


def gradient(function, x):
    """Returns the derivative of a scalar function, on any backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return array(tape.gradient(y, x))
    if keras.backend.backend() == "jax":
        import jax

        return array(jax.grad(function)(x))
    import torch

    x = torch.tensor(x, requires_grad=True)
    function(x).backward()
    return x.grad.numpy()


@pytest.fixture(scope="module")
def example():
    """A centred and clipped kernel (height, width, channels, filters), and a gradient of its binary kernel.

    The numbers that the tests compare with are those of the authors' Lua code and of its PyTorch port, transcribed in
    NumPy with the filters first.
    """
    random = np.random.default_rng(7)
    w = 0.5 * random.standard_normal((2, 3, 3, 3))
    g = random.standard_normal(w.shape)
    w, g = (x.transpose(2, 3, 1, 0).astype("float32") for x in (w, g))
    return array(ZeroMeanClip()(ops.convert_to_tensor(w))), g


def test_kernel_of_the_authors(example):
    w = example[0]
    kernel = array(binary_kernel(ops.convert_to_tensor(w)))
    assert {len(np.unique(np.abs(kernel[..., f]))) for f in (0, 1)} == {1}
    np.testing.assert_array_equal(np.sign(kernel), np.sign(w))
    np.testing.assert_allclose(np.abs(kernel[0, 0, 0]), [0.30804263, 0.26605441], rtol=1e-6)
    assert ((w - kernel) ** 2).sum() == pytest.approx(1.9942366821, rel=1e-6)


@pytest.mark.parametrize(
    "kind, first, length",
    [
        ("paper", (-0.06514487, 0.23565845, -0.02295377), 2.0759560533),
        ("exact", (-0.29982328, -0.03130486, -0.26216051), 2.8017266614),
    ],
)
def test_gradients_of_the_authors_and_of_the_derivative(example, kind, first, length):
    w, g = example
    result = gradient(
        lambda w: ops.sum(binary_kernel(w, kind, scale_gradient=False) * ops.convert_to_tensor(g)),
        w,
    )
    np.testing.assert_allclose(result[0, :, 0, 0], first, rtol=1e-5)
    assert np.sqrt((result**2).sum()) == pytest.approx(length, rel=1e-5)
    scaled = gradient(lambda w: ops.sum(binary_kernel(w, kind) * ops.convert_to_tensor(g)), w)
    np.testing.assert_allclose(scaled, 27 * (1 - 1 / 3) * result, rtol=1e-5)


def test_exact_gradient_against_differences(example):
    """Along a change that keeps all signs, only alpha changes; the straight-through part is removed."""
    w, g = example
    step = 0.1 * np.random.default_rng(3).uniform(size=w.shape).astype("float32") * w
    result = gradient(
        lambda w: ops.sum(
            binary_kernel(w, "exact", scale_gradient=False) * ops.convert_to_tensor(g)
        ),
        w,
    )
    alpha = np.abs(w).mean(axis=(0, 1, 2))
    straight = (alpha * g * (np.abs(w) < 1) * step).sum()
    values = [
        float((array(binary_kernel(ops.convert_to_tensor(w + s * step))) * g).sum())
        for s in (1, -1)
    ]
    assert (result * step).sum() - straight == pytest.approx((values[0] - values[1]) / 2, rel=1e-3)


def test_sign_and_its_gradient():
    x = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], "float32")
    np.testing.assert_array_equal(array(binary_sign(ops.convert_to_tensor(x))), np.sign(x))
    weights = np.arange(1, 8, dtype="float32")
    result = gradient(lambda x: ops.sum(binary_sign(x) * ops.convert_to_tensor(weights)), x)
    np.testing.assert_array_equal(result, [0, 0, 3, 4, 5, 0, 0])


def test_zero_is_a_positive_weight():
    kernel = array(binary_kernel(ops.convert_to_tensor(CENTRED)))
    np.testing.assert_allclose(kernel.ravel(), [0.75, 0.75, -0.75, -0.75])


def test_constraint_centres_then_clips():
    w = np.array([3.0, 0.0, 0.5, 0.5]).reshape(1, 1, 4, 1).astype("float32")
    np.testing.assert_allclose(
        array(ZeroMeanClip()(ops.convert_to_tensor(w))).ravel(), [1, -1, -0.5, -0.5]
    )


def test_training_keeps_weights_clipped_and_moves_signs():
    layer = BinaryConv2D(4, 3, binary_input=True, name="conv")
    model = keras.Sequential([keras.Input((6, 6, 3)), layer, keras.layers.GlobalAveragePooling2D()])
    random = np.random.default_rng(0)
    before = array(layer.kernel)
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    x, y = random.normal(size=(8, 6, 6, 3)), 5 * random.normal(size=(8, 4))
    for _ in range(3):
        model.train_on_batch(x, y)
    weights = layer.get_weights()[0]
    assert np.abs(weights).max() == 1
    assert (np.sign(array(layer.kernel)) != np.sign(before)).any()


def convolution(x, w, strides):
    """A 3x3 convolution with "valid" padding, in NumPy."""
    rows, columns = (x.shape[i] - 3 for i in (1, 2))
    windows = [
        [x[:, i : i + 3, j : j + 3] for j in range(0, columns + 1, strides)]
        for i in range(0, rows + 1, strides)
    ]
    return np.einsum("ijbhwc,hwcf->bijf", np.array(windows), w)


CASES = [{}, {"binary_input": True}, {"binary_input": True, "input_scale": True}]


def network(options, data=0):
    """A layer with strides and a bias, in a model, with random weights; and its images."""
    x = keras.Input((7, 9, 5))
    layer = BinaryConv2D(6, 3, strides=2, activation="relu", name="conv", **options)
    model = keras.Model(x, layer(x))
    random = np.random.default_rng(data)
    layer.set_weights([random.normal(0, 0.5, w.shape) for w in layer.get_weights()])
    return model, random.normal(size=(2, 7, 9, 5)).astype("float32")


@pytest.mark.parametrize("options", CASES, ids=["weights", "inputs", "scaled"])
def test_outputs_files_and_keras_layers(options, tmp_path):
    model, images = network(options)
    w, bias = model.get_layer("conv").get_weights()
    kernel = np.abs(w).mean(axis=(0, 1, 2)) * np.sign(w)
    inputs = np.sign(images) if options else images
    expected = convolution(inputs, kernel, 2)
    if "input_scale" in options:
        means = np.abs(images).mean(axis=-1, keepdims=True)
        expected *= convolution(means, np.full((3, 3, 1, 1), 1 / 9), 2)
    expected = np.maximum(expected + bias, 0)
    np.testing.assert_allclose(array(model(images)), expected, rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "model.keras")
    portable = kapps.to_keras_layers(model)
    portable.save(tmp_path / "portable.keras")
    for file in ("model", "portable"):
        loaded = keras.saving.load_model(tmp_path / f"{file}.keras", safe_mode=True)
        np.testing.assert_allclose(array(loaded(images)), expected, rtol=1e-5, atol=1e-5)
    config = loaded.get_layer("conv").get_config()
    assert not any("kapps" in str(value) for value in config.values())


@pytest.mark.parametrize("options", CASES, ids=["weights", "inputs", "scaled"])
def test_packed_layer_has_the_same_outputs_in_a_bit_for_each_weight(options):
    model, images = network(options)
    layer = model.get_layer("conv")
    packed = layer.to_packed()
    packed.build((None, 7, 9, 5))
    packed.set_weights(layer.packed_weights())
    assert packed.bits.shape == (34,) and packed.trainable_weights == []  # 270 weights
    np.testing.assert_array_equal(array(packed.kernel), array(layer.kernel))
    np.testing.assert_allclose(array(packed(images)), array(layer(images)), rtol=1e-6, atol=1e-6)
    copy = type(packed).from_config(packed.get_config())
    assert type(copy) is type(packed) and copy.get_config() == packed.get_config()


def test_half_precision():
    layer = BinaryConv2D(3, 1, binary_input=True, dtype="mixed_float16")
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float16")
    outputs = array(layer(x))
    full = BinaryConv2D(3, 1, binary_input=True)
    full.build(x.shape)
    full.set_weights(layer.get_weights())
    assert outputs.dtype == np.float16
    np.testing.assert_allclose(outputs, array(full(x.astype("float32"))), atol=0.02)


def test_options_that_exclude_each_other_and_one_channel():
    for options in (
        {"gradient": "papr"}, {"input_scale": True},
        {"input_scale": True, "binary_input": True, "groups": 2}, {"filters": 0},
    ):  # fmt: skip
        with pytest.raises(ValueError) as error:
            BinaryConv2D(**{"filters": 4, "kernel_size": 3, **options})
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="1 channel"):
        BinaryConv2D(4, 3)(np.zeros((1, 8, 8, 1), "float32"))

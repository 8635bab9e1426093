"""Padding of convolutions compared with NumPy, and convolutions with any normalisation."""

import math

import keras
import numpy as np
import pytest

from kapps.layers import conv, conv_bn, conv_norm, depthwise_norm, layer_norm


def images(channels):
    """Returns two images with an even and an odd side."""
    return np.random.default_rng(0).normal(size=(2, 9, 8, channels)).astype("float32")


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(
    "kernel_size, strides, groups", [(3, 1, 1), (3, 2, 1), (7, 2, 1), (1, 2, 1), (3, 2, 2)]
)
def test_default_padding_is_symmetric(size, kernel_size, strides, groups):
    image = keras.Input((size, size, 4))
    y = conv(image, 6, kernel_size, strides=strides, groups=groups, use_bias=True, name="conv")
    model = keras.Model(image, y)
    x = images(4)[:, :size, :8][:, :, :size]
    kernel, bias = model.get_weights()
    expected = convolve(x, kernel, strides, groups) + bias
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("padding, sides", [(1, (1, 1)), ((0, 1), (0, 1)), (0, (0, 0))])
def test_explicit_padding(size, padding, sides):
    """(0, strides - 1) is ceil mode: one window for each window that begins inside the map."""
    image = keras.Input((size, size, 4))
    model = keras.Model(image, conv(image, 6, 3, strides=2, padding=padding, name="conv"))
    x = images(4)[:, :size, :8][:, :, :size]
    expected = convolve(x, model.get_weights()[0], 2, 1, sides)
    assert sides != (0, 1) or expected.shape[1] == math.ceil((size - 3) / 2) + 1
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), expected, rtol=1e-5, atol=1e-5)


def convolve(x, kernel, strides, groups, sides=None):
    """Computes a grouped convolution in NumPy, padded by half of the kernel on every side, or by (before, after)."""
    side = kernel.shape[0]
    sides = sides or (side // 2, side // 2)
    x = np.pad(x, ((0, 0), sides, sides, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    windows = windows[:, ::strides, ::strides]
    parts = zip(np.split(windows, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
    return np.concatenate([np.einsum("nijchw,hwcf->nijf", *part) for part in parts], axis=-1)


def test_conv_norm_with_layer_norm():
    image = keras.Input((8, 8, 4))
    x = conv_norm(image, 6, 3, norm=layer_norm, activation="gelu", use_bias=True, name="block")
    x = depthwise_norm(x, 7, norm=layer_norm, epsilon=1e-3, name="block_depthwise")
    model = keras.Model(image, x)
    assert [layer.name for layer in model.layers[1:]] == [
        "block", "block_norm", "block_norm_gelu", "block_depthwise", "block_depthwise_norm",
    ]  # fmt: skip
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.LayerNormalization)]
    assert [norm.epsilon for norm in norms] == [1e-6, 1e-3] and model.layers[1].use_bias
    pixel = keras.ops.convert_to_numpy(model(images(4)[:, :8]))[0, 0, 0]
    assert abs(pixel.mean()) < 1e-3 and pixel.std() == pytest.approx(1, abs=0.1)


def test_conv_bn_names_and_options():
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, conv_bn(image, 6, 3, epsilon=1e-3, activation="relu", name="conv"))
    assert [layer.name for layer in model.layers[1:]] == ["conv", "conv_bn", "conv_bn_relu"]
    assert model.get_layer("conv_bn").epsilon == 1e-3 and model.get_layer("conv_bn").momentum == 0.9

"""Transposed convolutions that interpolate: the weights of the kernel, and the patterns of other kernels."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import BilinearKernel, bilinear_upsample, resize_like


@pytest.mark.parametrize("strides", [2, 3, 8])
def test_interpolates_each_channel_inside_of_the_map(strides):
    image = keras.Input((4, 5, 2))
    enlarged = bilinear_upsample(image, strides, padding="same", name="up")
    other = keras.Input((4 * strides, 5 * strides, 1))
    resized = resize_like(image, other, name="resized")
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 2)).astype("float32")
    y, expected = (
        keras.ops.convert_to_numpy(keras.Model(image, tensor)(x)) for tensor in (enlarged, resized)
    )
    inside = slice(strides, -strides)
    if strides % 2 == 0:  # the half-pixel centres of an odd factor are those of an odd kernel
        np.testing.assert_allclose(
            y[:, inside, inside], expected[:, inside, inside], rtol=1e-5, atol=1e-5
        )
    ones = keras.Model(image, enlarged)(np.ones_like(x))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ones)[:, inside, inside], 1, rtol=1e-5, atol=1e-5
    )


def test_kernel_is_diagonal_and_sums_to_the_square_of_the_strides():
    kernel = keras.ops.convert_to_numpy(BilinearKernel()((4, 4, 3, 3)))
    weights = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(kernel[:, :, 1, 1], np.outer(weights, weights))
    np.testing.assert_allclose(kernel.sum(axis=(0, 1)), 4 * np.eye(3), atol=1e-6)
    odd = keras.ops.convert_to_numpy(BilinearKernel()((3, 3, 1, 1)))
    np.testing.assert_allclose(odd[1, :, 0, 0], [0.5, 1, 0.5])
    with pytest.raises(ValueError, match="4 filters for 2 channels"):
        BilinearKernel()((4, 4, 4, 2))


def test_kernels_that_are_no_multiple_of_the_strides_leave_a_checkerboard():
    for size in range(2, 7):
        layer = keras.layers.Conv2DTranspose(
            1, size, strides=2, use_bias=False, kernel_initializer="ones"
        )
        y = keras.ops.convert_to_numpy(layer(np.ones((1, 8, 8, 1), "float32")))[0, 5:-5, 5:-5, 0]
        assert (y.std() == 0) == (size % 2 == 0)


def test_files_and_cost(tmp_path):
    image = keras.Input((4, 5, 3))
    model = keras.Model(image, bilinear_upsample(image, 2, name="up"))
    assert model.output_shape == (None, 10, 12, 3)
    assert not model.trainable_variables and len(model.weights) == 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
    assert not loaded.trainable_variables
    row = kapps.profile(model).row("up")
    assert (row.macs, row.parameters) == (4 * 5 * 9 * 16, 16 * 9)

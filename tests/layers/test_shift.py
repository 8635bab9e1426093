"""Shift compared with NumPy's roll, with a border of zeros."""

import keras
import numpy as np
import pytest
from layer_gradients import gradients

import kapps
from kapps.layers import Shift, to_keras_layers
from kapps.layers.shift import shift_offsets

# kernel size, dilation, channels; 20 and 27 channels leave some over
CASES = [(3, 1, 20), (3, 2, 9), (5, 1, 27), (1, 1, 4), (3, 1, 4)]


def maps(channels, size=(7, 9)):
    return np.random.default_rng(0).normal(size=(2, *size, channels)).astype("float32")


def rolled(x, offsets):
    """Returns x with each channel moved by np.roll; pixels that come from the other side are 0."""
    result = np.zeros_like(x)
    height, width = x.shape[1:3]
    for c, (down, right) in enumerate(offsets):
        moved = np.roll(x[..., c], (-down, -right), axis=(1, 2))
        rows, columns = np.arange(height) + down, np.arange(width) + right
        inside = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
        result[..., c] = moved * inside
    return result


def test_moves_groups_of_channels(tmp_path):
    for kernel_size, dilation, channels in CASES:
        x, offsets = maps(channels), shift_offsets(channels, kernel_size, dilation)
        image = keras.Input((None, None, channels))
        model = keras.Model(image, Shift(kernel_size, dilation, name="shift")(image))
        expected = rolled(x, offsets)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(x)), expected)
        assert not model.weights
        model.save(tmp_path / "model.keras")
        for copy in (keras.saving.load_model(tmp_path / "model.keras"), to_keras_layers(model)):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(copy(x)), expected)
        row = kapps.profile(model, (7, 9, channels)).row("shift")
        assert (row.parameters, row.macs, row.additions, row.elementwise) == (0, 0, 0, 0)
        assert row.receptive_field[0].size == 1 + (kernel_size - 1) * dilation


def test_offsets():
    offsets = shift_offsets(20)
    values, counts = np.unique(offsets, axis=0, return_counts=True)
    assert values.tolist() == [[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    assert counts.tolist() == [2, 2, 2, 2, 4, 2, 2, 2, 2]
    assert not shift_offsets(8).any()  # fewer channels than offsets: none moves
    np.testing.assert_array_equal(shift_offsets(9, 3, 4), 4 * shift_offsets(9))


def test_gradient_is_the_shift_back():
    x, upstream = maps(18), np.random.default_rng(1).normal(size=(2, 7, 9, 18)).astype("float32")
    gradient, weights = gradients(Shift(), x, upstream)
    np.testing.assert_allclose(gradient, rolled(upstream, -shift_offsets(18)), atol=1e-4)
    assert not weights


def test_half_precision_is_exact():
    x = maps(18).astype("float16")
    y = keras.ops.convert_to_numpy(Shift(dtype="float16")(x))
    np.testing.assert_array_equal(y, rolled(x, shift_offsets(18)))


def test_even_kernel_size_raises():
    with pytest.raises(ValueError, match="kernel_size=4 is not odd"):
        Shift(4)


@pytest.mark.tensorflow
def test_exported_shift_agrees(tmp_path):
    from kapps import export

    image = keras.Input((8, 8, 12))
    y = keras.layers.Conv2D(18, 1)(Shift()(image))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(y))
    path = export.tflite(model, tmp_path / "shift.tflite")
    assert export.verify(model, path, maps(12, (8, 8))).largest_difference < 1e-5

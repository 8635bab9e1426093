"""AlignCornersResize: interpolation at the same places as NumPy's, its gradient, its cost and its copies."""

import fingerprints
import finite_differences
import keras
import numpy as np
import pytest

import kapps
from kapps.layers import AlignCornersResize, to_keras_layers

SIZES = [((7, 7), (14, 14)), ((4, 3), (7, 5)), ((1, 2), (2, 4)), ((5, 6), (3, 1)), ((4, 4), (4, 4))]


def model_of(size, new_size, **options):
    inputs = [keras.Input((*size, 2), name="map"), keras.Input((*new_size, 3), name="other")]
    return keras.Model(inputs, AlignCornersResize(name="resize", **options)(inputs))


def maps(size, new_size):
    x = np.random.default_rng(0).normal(size=(2, *size, 2)).astype("float32")
    return [x, np.zeros((2, *new_size, 3), "float32")]


def interpolated(x, new_size):
    for axis, length in zip((1, 2), new_size, strict=True):
        places = np.linspace(0, x.shape[axis] - 1, length)
        x = np.apply_along_axis(
            lambda row, places: np.interp(places, np.arange(len(row)), row), axis, x, places
        )
    return x


def outputs(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


@pytest.mark.parametrize("size, new_size", SIZES)
def test_equals_numpys_interpolation(size, new_size):
    x = maps(size, new_size)
    expected = interpolated(x[0], new_size)
    model = model_of(size, new_size)
    assert model.output.shape == (None, *new_size, 2)
    for network in (model, model_of((None, None), (None, None)), to_keras_layers(model)):
        np.testing.assert_allclose(outputs(network, x), expected, rtol=1e-5, atol=1e-5)


def test_gradients_equal_differences():
    with fingerprints.float64():
        inputs = [keras.Input((3, 4, 2)), keras.Input((5, 6, 1))]
        x = keras.layers.Dense(2)(inputs[0])
        model = keras.Model(inputs, AlignCornersResize()([x, inputs[1]]))
        rng = np.random.default_rng(0)
        x = [rng.normal(size=(2, *tensor.shape[1:])) for tensor in inputs]
        finite_differences.assert_gradients_equal_differences(model, x)


def test_files_cost_and_receptive_field(tmp_path):
    image = keras.Input((8, 8, 2))
    small = keras.layers.MaxPooling2D(2, name="pool")(image)
    model = keras.Model(image, AlignCornersResize(name="resize")([small, image]))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded, x), outputs(model, x))
    row = kapps.profile(model).row("resize")
    assert (row.macs, row.elementwise, row.additions, row.parameters) == (0, 4 * 128, 2 * 128, 0)
    assert [(field.size, field.stride) for field in row.receptive_field] == [(8, 1), (8, 1)]


def test_half_precision_reads_the_places_of_float32():
    x = maps((100, 2), (200, 4))
    y = outputs(model_of((100, 2), (200, 4), dtype="mixed_float16"), x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, interpolated(x[0], (200, 4)), atol=0.02)


def test_portable_copy_needs_known_sizes():
    with pytest.raises(ValueError, match="portable=True") as caught:
        to_keras_layers(model_of((None, None), (None, None)))
    assert "\n" not in str(caught.value)

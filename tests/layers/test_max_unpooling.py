"""MaxPoolWithIndices and MaxUnpool: compared with NumPy on maps of odd sides, their gradients, costs and copies."""

import fingerprints
import finite_differences
import keras
import numpy as np
import pytest

import kapps
from kapps.layers import MaxPoolWithIndices, MaxUnpool, crop_like

SIZES = [((4, 6), 2), ((5, 7), 2), ((7, 4), 3), ((1, 2), 2)]


def model_of(shape, size=2):
    """Returns a model from a map to its maxima, their positions, and the unpooled map."""
    image = keras.Input(shape)
    pooled, indices = MaxPoolWithIndices(size, name="pool")(image)
    x = MaxUnpool(size, name="unpool")([pooled, indices])
    return keras.Model(image, [pooled, indices, crop_like(x, image, name="crop")])


def outputs(model, x):
    return [keras.ops.convert_to_numpy(y) for y in model(x)]


def expected(x, size):
    """Returns the same three arrays by a loop over all windows."""
    batch, height, width, channels = x.shape
    rows, columns = -(-height // size), -(-width // size)
    pooled = np.zeros((batch, rows, columns, channels), x.dtype)
    indices, unpooled = np.zeros(pooled.shape, "int32"), np.zeros_like(x)
    for b, i, j, c in np.ndindex(pooled.shape):
        window = x[b, i * size : (i + 1) * size, j * size : (j + 1) * size, c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        pooled[b, i, j, c] = window.max()
        indices[b, i, j, c] = row * size + column
        unpooled[b, i * size + row, j * size + column, c] = window.max()
    return pooled, indices, unpooled


@pytest.mark.parametrize("sides, size", SIZES)
def test_equal_a_loop_over_windows(sides, size):
    rng = np.random.default_rng(0)
    for x in (
        rng.normal(size=(2, *sides, 3)).astype("float32"),
        rng.integers(0, 2, (2, *sides, 3)).astype("float32"),  # equal values: the first counts
        np.full((1, *sides, 1), -3, "float32"),
    ):
        for shape in ((*sides, x.shape[-1]), (None, None, x.shape[-1])):
            for y, values in zip(outputs(model_of(shape, size), x), expected(x, size), strict=True):
                np.testing.assert_array_equal(y, values)
                assert y.dtype == values.dtype


def test_gradients_equal_differences():
    with fingerprints.float64():
        image = keras.Input((3, 5, 2))
        x = keras.layers.Dense(2)(image)
        pooled, indices = MaxPoolWithIndices()(x)
        x = MaxUnpool()([keras.layers.Dense(2)(pooled), indices])
        model = keras.Model(image, crop_like(x, image, name="crop"))
        x = np.random.default_rng(0).normal(size=(2, 3, 5, 2))
        finite_differences.assert_gradients_equal_differences(model, x)


def test_files_cost_and_receptive_field(tmp_path):
    model = model_of((5, 6, 2))
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 2)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for y, values in zip(outputs(loaded, x), outputs(model, x), strict=True):
        np.testing.assert_array_equal(y, values)
    profile = kapps.profile(model)
    assert (profile.row("pool").macs, profile.row("pool").elementwise) == (0, 2 * 3 * 3 * 3 * 2)
    assert (profile.row("unpool").macs, profile.row("unpool").elementwise) == (0, 6 * 6 * 2)
    fields = [[(f.size, f.stride) for f in profile.row(n).receptive_field] for n in ("pool", "unpool")]  # fmt: skip
    assert fields == [[(2, 2), (2, 2)], [(2, 1), (2, 1)]]

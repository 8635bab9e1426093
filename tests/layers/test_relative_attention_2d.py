"""RelativeAttention2D against loops over pixels in NumPy: sizes, gradients, half precision, files, cost."""

import fingerprints
import keras
import numpy as np
import pytest
from attention_inputs import array, softmax
from finite_differences import assert_gradients_equal_differences

import kapps
from kapps.layers import RelativeAttention2D, to_keras_layers

HEADS, KEY, VALUE, HEIGHT, WIDTH = 2, 3, 4, 5, 4
CHANNELS = HEADS * (2 * KEY + VALUE)
RANDOM = np.random.default_rng(0)


def build(height=HEIGHT, width=WIDTH, shape=(HEIGHT, WIDTH), dtype=None):
    """Returns a model of one layer, with vectors that are not small."""
    image = keras.Input((*shape, CHANNELS), dtype=dtype)
    layer = RelativeAttention2D(HEADS, KEY, VALUE, height, width, dtype=dtype, name="attention")
    model = keras.Model(image, layer(image))
    model.set_weights([RANDOM.normal(size=w.shape) for w in model.get_weights()])
    return model


def images(height=HEIGHT, width=WIDTH):
    return RANDOM.normal(size=(2, height, width, CHANNELS)).astype("float32")


def loops(x, r, s):
    """Returns the output of one map (height, width, channels)."""
    height, width, _ = x.shape
    x = x.astype("float64")
    q, k, v = np.split(x, [HEADS * KEY, 2 * HEADS * KEY], axis=-1)
    q, k = (part.reshape(height, width, HEADS, KEY) for part in (q, k))
    v = v.reshape(height, width, HEADS, VALUE)
    y = np.zeros((height, width, HEADS, VALUE))
    rows, columns = len(r) // 2, len(s) // 2  # of the distance 0
    for a, b, h in np.ndindex(height, width, HEADS):
        scores = np.zeros((height, width))
        for i, j in np.ndindex(height, width):
            down, right = np.clip(i - a, -rows, rows), np.clip(j - b, -columns, columns)
            scores[i, j] = q[a, b, h] @ (k[i, j, h] + r[rows + down] + s[columns + right])
        weights = softmax(scores.ravel() / np.sqrt(KEY)).reshape(height, width)
        y[a, b, h] = np.einsum("ij,ijv->v", weights, v[:, :, h])
    return y.reshape(height, width, -1)


@pytest.mark.parametrize("height, width", [(5, 4), (3, 6), (9, 7)])
def test_loops_over_pixels(height, width):
    """A layer for a map of that size, for a larger map in one direction, and for a larger one in both."""
    x, model = images(), build(height, width)
    expected = np.stack([loops(one, *model.get_weights()) for one in x])
    np.testing.assert_allclose(array(model(x)), expected, rtol=1e-5, atol=1e-5)
    free = build(height, width, (None, None))
    free.set_weights(model.get_weights())
    np.testing.assert_allclose(array(free(x)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(array(to_keras_layers(model)(x)), expected, rtol=1e-5, atol=1e-5)


def test_sizes_that_are_not_known():
    model = build(4, 4, (None, None))
    assert model.output_shape == (None, None, None, HEADS * VALUE)
    for height, width in ((4, 4), (6, 3), (1, 1)):
        x = images(height, width)
        expected = np.stack([loops(one, *model.get_weights()) for one in x])
        np.testing.assert_allclose(array(model(x)), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="input_shape"):
        to_keras_layers(model)


def test_positions_have_gradients():
    """Those of the vectors; the gradient of the map is that of products and of a softmax."""
    with fingerprints.float64():
        assert_gradients_equal_differences(build(3, 3), images()[:1].astype("float64"))


def test_scores_are_float32_in_half_precision():
    model = build(dtype="float16")
    x = 30 * images()  # scores above 65504, the largest float16
    y = array(model(x.astype("float16")))
    assert y.dtype == np.float16 and np.isfinite(y).all()


def test_file_and_cost(tmp_path):
    model, x = build(), images()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
    row, pixels = kapps.profile(model).row("attention"), HEIGHT * WIDTH
    distances = 2 * HEIGHT - 1 + 2 * WIDTH - 1
    assert row.macs == HEADS * pixels * (KEY * pixels + KEY * distances + VALUE * pixels)
    assert row.parameters == KEY * distances


def test_channels_that_heads_do_not_have_raise():
    with pytest.raises(ValueError, match="20"):
        RelativeAttention2D(HEADS, KEY, VALUE, 4, 4)(np.zeros((1, 4, 4, 19), "float32"))

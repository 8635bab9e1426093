"""DoubleAttention against loops over pixels in NumPy: special cases, gradients, half precision, files, cost."""

import fingerprints
import keras
import numpy as np
import pytest
from attention_inputs import array, softmax
from finite_differences import assert_gradients_equal_differences

import kapps
from kapps.layers import DoubleAttention, to_keras_layers

HEIGHT, WIDTH, M, N = 3, 4, 5, 2
RANDOM = np.random.default_rng(0)
SIZES = (M, N, N)


def build(shape=(HEIGHT, WIDTH), sizes=SIZES, dtype=None):
    maps = [keras.Input((*shape, size), dtype=dtype) for size in sizes]
    return keras.Model(maps, DoubleAttention(dtype=dtype, name="double")(maps))


def maps(height=HEIGHT, width=WIDTH, sizes=SIZES):
    return [RANDOM.normal(size=(2, height, width, size)).astype("float32") for size in sizes]


def loops(a, b, v):
    """Returns Z of one map, vector by vector and pixel by pixel."""
    n = b.shape[-1]
    vectors = [
        np.einsum("hwm,hw->m", a, softmax(b[:, :, i].ravel()).reshape(b.shape[:2]))
        for i in range(n)
    ]
    z = np.zeros(a.shape)
    for y, x in np.ndindex(a.shape[:2]):
        weights = softmax(v[y, x])
        z[y, x] = sum(weights[i] * vectors[i] for i in range(n))
    return z


@pytest.mark.parametrize("height, width", [(3, 4), (5, 2)])
def test_loops_over_pixels(height, width):
    x = maps(height, width)
    expected = np.stack([loops(*one) for one in zip(*x, strict=True)])
    model = build((height, width))
    for copy in (model, build((None, None)), to_keras_layers(model)):
        np.testing.assert_allclose(array(copy(x)), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="input_shape"):
        to_keras_layers(build((None, None)))


def test_one_vector_is_a_weighted_mean_of_the_map():
    a, b, v = maps(sizes=(M, 1, 1))
    y = array(build(sizes=(M, 1, 1))([a, b, np.zeros_like(v)]))
    for i in range(2):
        weights = softmax(b[i].ravel()).reshape(HEIGHT, WIDTH, 1)
        mean = (weights * a[i]).sum(axis=(0, 1))
        np.testing.assert_allclose(y[i], np.broadcast_to(mean, y[i].shape), rtol=1e-5, atol=1e-5)


def test_gradients():
    """The maps are convolutions of an image, whose kernels are moved."""
    with fingerprints.float64():
        image = keras.Input((2, 3, 2))
        parts = [keras.layers.Conv2D(size, 1)(image) for size in (3, 2, 2)]
        model = keras.Model(image, DoubleAttention()(parts))
        model.set_weights([RANDOM.normal(size=w.shape) for w in model.get_weights()])
        assert_gradients_equal_differences(model, RANDOM.normal(size=(1, 2, 3, 2)))


def test_half_precision():
    y = array(build(dtype="float16")([(60 * x).astype("float16") for x in maps()]))
    assert y.dtype == np.float16 and np.isfinite(y).all()


def test_file_and_cost(tmp_path):
    model, x = build(), maps()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
    assert kapps.profile(model).row("double").macs == 2 * HEIGHT * WIDTH * M * N


def test_other_numbers_of_vectors_raise():
    with pytest.raises(ValueError, match="V has 3"):
        build(sizes=(M, N, 3))

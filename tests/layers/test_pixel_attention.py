"""PixelAttention against loops over pixels in NumPy: gradients, half precision, files, Keras's layers, cost."""

import fingerprints
import keras
import numpy as np
import pytest
from attention_inputs import array, softmax
from finite_differences import assert_gradients_equal_differences

import kapps
from kapps.layers import LayerScale, PixelAttention, to_keras_layers

RANDOM = np.random.default_rng(0)
SHAPES = ((4, 6, 3), (2, 3, 3), (2, 3, 5))


def build(dtype=None, shapes=SHAPES):
    maps = [keras.Input(shape, dtype=dtype) for shape in shapes]
    return keras.Model(maps, PixelAttention(dtype=dtype, name="attention")(maps))


def maps():
    return [RANDOM.normal(size=(2, *shape)).astype("float32") for shape in SHAPES]


def loops(f, g, v):
    """Each pixel of F: the mean of all pixels of V, weighted by the softmax of its products with those of G."""
    y = np.zeros((*f.shape[:2], v.shape[-1]))
    for row, column in np.ndindex(f.shape[:2]):
        weights = softmax((g * f[row, column]).sum(axis=-1).ravel()).reshape(g.shape[:2])
        y[row, column] = (weights[..., None] * v).sum(axis=(0, 1))
    return y


def test_loops_over_pixels():
    x, model = maps(), build()
    expected = np.stack([loops(*one) for one in zip(*x, strict=True)])
    for copy in (model, to_keras_layers(model)):
        np.testing.assert_allclose(array(copy(x)), expected, rtol=1e-4, atol=1e-5)


def test_gradients():
    """The maps are convolutions of an image, whose kernels are moved."""
    with fingerprints.float64():
        image = keras.Input((2, 4, 2))
        f, g, v = (keras.layers.Conv2D(size, 1)(image) for size in (2, 2, 3))
        g, v = (keras.layers.AveragePooling2D(2)(x) for x in (g, v))
        model = keras.Model(image, PixelAttention()([f, g, v]))
        model.set_weights([RANDOM.normal(size=w.shape) for w in model.get_weights()])
        assert_gradients_equal_differences(model, RANDOM.normal(size=(1, 2, 4, 2)))


def test_half_precision():
    """Scores of 3,600 times those of `maps` are sums that float16 can hold only as products of float32."""
    y = array(build(dtype="float16")([(60 * x).astype("float16") for x in maps()]))
    assert y.dtype == np.float16 and np.isfinite(y).all()


def test_file_and_cost(tmp_path):
    model, x = build(), maps()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
    assert kapps.profile(model).row("attention").macs == 4 * 6 * 2 * 3 * (3 + 5)


def test_maps_that_do_not_fit_raise():
    for shapes in (((4, 6, 3), (2, 3, 4), (2, 3, 5)), ((4, 6, 3), (2, 3, 3), (4, 3, 5))):
        with pytest.raises(ValueError, match="as many"):
            build(shapes=shapes)


def test_one_scale_for_all_channels():
    x = keras.Input((2, 3, 4))
    model = keras.Model(x, LayerScale(0.0, shared=True, name="scale")(x))
    assert [w.shape for w in model.weights] == [()]
    model.get_layer("scale").set_weights([np.float32(-2.5)])
    images = RANDOM.normal(size=(2, 2, 3, 4)).astype("float32")
    for copy in (model, to_keras_layers(model)):
        np.testing.assert_allclose(array(copy(images)), -2.5 * images, rtol=1e-6)
    copy = LayerScale.from_config(model.get_layer("scale").get_config())
    assert copy.shared and not LayerScale.from_config(LayerScale().get_config()).shared

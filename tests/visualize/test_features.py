"""Filters, feature maps, and the images with the largest values of a unit."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kapps.visualize import features

IMAGES = np.random.default_rng(0).normal(size=(5, 12, 12, 3)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [keras.Input((12, 12, 3)), layers.Conv2D(4, 3, name="c1"), layers.ReLU(), layers.MaxPooling2D(),
         layers.Conv2D(6, 3, name="c2")],
        name="body",
    )  # fmt: skip
    inputs = keras.Input((12, 12, 3))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(body(inputs)))), body


def test_filters_are_the_kernel():
    model, body = network()
    np.testing.assert_array_equal(
        features.filters(model), ops.convert_to_numpy(body.get_layer("c1").kernel)
    )
    assert features.filters(model, "c2").shape == (3, 3, 4, 6)
    with pytest.raises(ValueError, match="no convolution 'c3'"):
        features.filters(model, "c3")


def test_feature_maps_are_the_layers_outputs():
    model, body = network()
    result = features.feature_maps(model, IMAGES, batch_size=2)
    assert [maps.shape[1:] for maps in result.values()] == [(10, 10, 4), (5, 5, 4), (3, 3, 6)]
    assert list(result)[-1] == "body"
    expected = ops.convert_to_numpy(body(IMAGES))
    (maps,) = features.feature_maps(model, IMAGES, "c2").values()
    np.testing.assert_allclose(maps, expected, rtol=1e-5, atol=1e-6)


def test_top_images_are_the_largest_values():
    model, _ = network()
    (maps,) = features.feature_maps(model, IMAGES, "c2").values()
    indices, places, values = features.top_images(model, IMAGES, "c2", 1, count=3)
    assert values[0] == maps[..., 1].max() and (np.diff(values) <= 0).all()
    for i, (row, column), value in zip(indices, places, values, strict=True):
        assert maps[i, row, column, 1] == value
    with pytest.raises(ValueError, match="0 to 5"):
        features.top_images(model, IMAGES, "c2", 6)

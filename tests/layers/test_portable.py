"""Portable models, and copies of weights that Keras's `set_weights` does not complete."""

import re

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import copy_values, to_keras_layers


@pytest.fixture
def images():
    """Two images far from 0 and 1."""
    return np.random.default_rng(0).normal(5, 3, (2, 4, 4, 3)).astype("float32")


def normalizing(images=None):
    """Returns a model with a Normalization layer, adapted to the images if there are any."""
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Normalization(name="norm")(image))
    if images is not None:
        model.get_layer("norm").adapt(images)
    return model


def test_to_keras_layers_keeps_adapted_normalization(images):
    model = normalizing(images)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    output = keras.ops.convert_to_numpy(to_keras_layers(model)(images))
    np.testing.assert_allclose(output, expected, atol=1e-4)


def test_copy_values_into_a_nested_normalization(images):
    image = keras.Input((4, 4, 3))
    inner, outer = normalizing(images), normalizing()
    source, target = (keras.Model(image, model(image)) for model in (inner, outer))
    copy_values(source, target)
    output, expected = (keras.ops.convert_to_numpy(model(images)) for model in (target, source))
    np.testing.assert_array_equal(output, expected)
    assert abs(output.mean()) < 1e-3


def test_layer_without_a_counterpart_raises():
    with pytest.raises(ValueError) as caught:
        kapps.framewise_lstm(portable=True)
    # Keras numbers the cells of a process.
    assert re.sub(r"cell_\d+", "cell", str(caught.value)) == (
        "framewise_lstm cannot be built of Keras's own layers: Keras has no counterpart of "
        "peephole_lstm_cell (PeepholeLSTMCell)"
    )
    assert kapps.d2l_lstm(portable=True).count_params() == kapps.d2l_lstm().count_params()

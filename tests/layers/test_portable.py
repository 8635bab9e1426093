"""Copies of models: what Keras's own `set_weights` leaves behind."""

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
    """Returns a model that normalises, by what it learnt of the images if any are given."""
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Normalization(name="norm")(image))
    if images is not None:
        model.get_layer("norm").adapt(images)
    return model


def test_stock_keeps_what_normalization_learnt(images):
    model = normalizing(images)
    expected = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    given = keras.ops.convert_to_numpy(to_keras_layers(model)(images))
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_values_reach_a_normalization_inside_a_nested_model(images):
    image = keras.Input((4, 4, 3))
    inner, outer = normalizing(images), normalizing()
    source, target = (keras.Model(image, each(image)) for each in (inner, outer))
    copy_values(source, target)
    given, expected = (keras.ops.convert_to_numpy(each(images)) for each in (target, source))
    np.testing.assert_array_equal(given, expected)
    assert abs(given.mean()) < 1e-3


def test_what_keras_has_no_layer_for_is_refused_in_one_line():
    with pytest.raises(ValueError) as caught:
        kapps.framewise_lstm(portable=True)
    # Keras numbers the cells of a process.
    assert re.sub(r"cell_\d+", "cell", str(caught.value)) == (
        "framewise_lstm cannot be built of Keras's own layers: Keras has no counterpart of "
        "peephole_lstm_cell (PeepholeLSTMCell)"
    )
    assert kapps.d2l_lstm(portable=True).count_params() == kapps.d2l_lstm().count_params()

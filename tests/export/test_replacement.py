"""Copies of a model whose layers of one class are others, also in models inside it."""

import keras
import numpy as np
import pytest

from kapps.export._replacement import has_layers
from kapps.export.inference_model import inference_model
from kapps.layers import ActiveShift, BinaryConv2D


@pytest.mark.parametrize("layer", [ActiveShift(name="moved"), BinaryConv2D(4, 3, name="moved")])
def test_layers_of_a_model_inside_another_are_replaced(layer):
    inner = keras.Sequential([keras.Input((8, 8, 4)), layer], name="inner")
    image = keras.Input((8, 8, 4))
    outputs = keras.layers.GlobalAveragePooling2D()(inner(image))
    model = keras.Model(image, keras.layers.Dense(2, name="predictions")(outputs))
    exported = inference_model(model, preprocessing=False, pack_binary=False)
    assert has_layers(model, type(layer)) and not has_layers(exported, type(layer))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
    (scores,) = exported.predict(images, verbose=0).values()
    np.testing.assert_allclose(scores, model.predict(images, verbose=0), rtol=1e-4, atol=1e-5)

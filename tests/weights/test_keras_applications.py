"""Weights of Keras Applications, converted in both directions: its ResNet-50, with biases before batch norms."""

import keras
import numpy as np
import pytest
from members import assert_close

import kapps
from kapps.weights import from_keras, keras_applications, to_keras
from kapps.weights.names import resnet

SHAPE = (40, 40, 3)


@pytest.mark.long
def test_resnet50_has_equal_logits_with_weights_of_either_side(randomise):
    options = dict(weights=None, input_shape=SHAPE, classifier_activation=None)
    theirs = randomise(keras.applications.ResNet50(**options))
    ours = kapps.resnet50_v1(**options)
    state = keras_applications.named_arrays(theirs)
    images = 100 * np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
    blue_first = images[..., ::-1]
    from_keras(ours, state, resnet.keras, blue_first=True)
    assert_close(logits(ours, images), logits(theirs, blue_first), within=1e-4)
    converted = to_keras(randomise(ours), resnet.keras, state, blue_first=True)
    for name, arrays in converted.items():
        keras_applications.named_layers(theirs)[name].set_weights(arrays)
    assert_close(logits(theirs, blue_first), logits(ours, images), within=1e-4)


def logits(model, images):
    return keras.ops.convert_to_numpy(model(np.ascontiguousarray(images), training=False))

"""The features of each level of a model."""

import keras
import numpy as np
import pytest

import kapps
from kapps.families import resnet_cifar


def test_pyramid_outputs_of_another_model():
    image = keras.Input((8, 8, 3))
    other = keras.Model(image, keras.layers.Conv2D(2, 3)(image), name="other")
    with pytest.raises(ValueError, match="other"):
        kapps.pyramid_outputs(other)


def test_pyramid_outputs_are_tensors_of_the_model(digits):
    model = resnet_cifar(n=1, include_top=False, input_shape=(16, 16, 1))
    levels = kapps.pyramid_outputs(model)
    features = keras.Model(model.inputs, levels)(digits(16, channels=1)[0][:2])
    assert [features[level].shape for level in (0, 1, 2)] == [
        (2, 16, 16, 16),
        (2, 8, 8, 32),
        (2, 4, 4, 64),
    ]
    expected = model(digits(16, channels=1)[0][:2])
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (features[2], expected)))

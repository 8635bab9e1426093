"""The int8 outputs of a layer whose average pooling is concatenated."""

import keras
import numpy as np
import pytest

from kapps import export
from kapps.export import runtime
from kapps.export._quantization_ranges import separate_pooling_ranges

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def network():
    """Concatenates a tenth of each bright pixel, one in nine, and the mean of nine pixels, a ninth of it."""
    x = keras.Input((9, 9, 1))
    y = keras.layers.Conv2D(1, 1, activation="relu", kernel_initializer="ones")(x)
    tenth = keras.layers.Conv2D(
        1, 1, strides=3, kernel_initializer=keras.initializers.Constant(0.1)
    )
    mean = keras.layers.AveragePooling2D(3)
    return keras.Model(x, keras.layers.Concatenate()([tenth(y), mean(y)]))


@pytest.fixture
def images():
    images = np.zeros((16, 9, 9, 1), "float32")
    images[:, ::3, ::3, 0] = np.linspace(0.5, 1, 16)[:, None, None]
    return images


def test_the_pooled_layer_has_its_own_range(network, images, tmp_path):
    path = export.tflite(network, tmp_path / "a.tflite", precision="int8", calibration=images)
    (outputs,) = runtime.run(path, images).values()
    expected = np.stack([images[:, ::3, ::3, 0] / 10, images[:, ::3, ::3, 0] / 9], axis=-1)
    # In the range of the concatenation, at most 1/9, a tenth of the bright pixel would be 1/90.
    np.testing.assert_allclose(outputs, expected, atol=0.002)


def test_outputs_do_not_change(network, images):
    separated = separate_pooling_ranges(network)
    assert [layer.name for layer in separated.layers if layer.name.endswith("_range")]
    np.testing.assert_array_equal(separated(images), network(images))


def test_other_networks_are_returned_unchanged():
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, keras.layers.AveragePooling2D(2)(x))
    assert separate_pooling_ranges(model) is model

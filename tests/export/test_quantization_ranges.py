"""What int8 keeps of a layer whose mean is concatenated."""

import keras
import numpy as np
import pytest

from kapps import export
from kapps.export import runtime
from kapps.export._quantization_ranges import apart

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def network():
    """A bright pixel in nine, its mean, 1/9 of it, and a tenth of it beside each other."""
    x = keras.Input((9, 9, 1))
    y = keras.layers.Conv2D(1, 1, activation="relu", kernel_initializer="ones")(x)
    tenth = keras.layers.Conv2D(
        1, 1, strides=3, kernel_initializer=keras.initializers.Constant(0.1)
    )
    mean = keras.layers.AveragePooling2D(3)
    return keras.Model(x, keras.layers.Concatenate()([tenth(y), mean(y)]))


@pytest.fixture
def images():
    found = np.zeros((16, 9, 9, 1), "float32")
    found[:, ::3, ::3, 0] = np.linspace(0.5, 1, 16)[:, None, None]
    return found


def test_a_mean_leaves_what_it_is_of_its_range(network, images, tmp_path):
    path = export.tflite(network, tmp_path / "a.tflite", precision="int8", calibration=images)
    (found,) = runtime.run(path, images).values()
    expected = np.stack([images[:, ::3, ::3, 0] / 10, images[:, ::3, ::3, 0] / 9], axis=-1)
    # With the range of the whole, of at most 1/9, a tenth of the bright pixel would be 1/90.
    np.testing.assert_allclose(found, expected, atol=0.002)


def test_no_number_changes(network, images):
    parted = apart(network)
    assert [layer.name for layer in parted.layers if layer.name.endswith("_range")]
    np.testing.assert_array_equal(parted(images), network(images))


def test_other_networks_stay_what_they_are():
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, keras.layers.AveragePooling2D(2)(x))
    assert apart(model) is model

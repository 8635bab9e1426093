"""LeNet-5: map sizes, parameters of each layer, padding and preprocessing."""

import keras
import numpy as np
import pytest

import kapps

# Figure 2 of LeCun 1998: maps C1, S2, C3, S4; and trainable parameters, C3's with every map of S2 read.
MAPS = {"stem_conv": (28, 6), "level1_pool": (14, 6), "level1_conv": (10, 16), "level2_pool": (5, 16)}  # fmt: skip
PARAMETERS = {
    "stem_conv": 156,
    "level1_conv": 16 * (6 * 25 + 1),
    "head_dense1": 48_120,
    "head_dense2": 10_164,
}


@pytest.fixture(scope="module")
def model():
    return kapps.lenet5()


def test_map_sizes_and_parameters(model):
    maps = {name: model.get_layer(name).output.shape[1:] for name in MAPS}
    assert maps == {name: (side, side, channels) for name, (side, channels) in MAPS.items()}
    assert {name: model.get_layer(name).count_params() for name in PARAMETERS} == PARAMETERS
    assert model.get_layer("head_logits").kernel.shape == (84, 10)


def test_padding_equals_a_digit_centred_in_32x32(model, digits):
    """28x28 with our padding is 32x32 without."""
    images = digits(28, channels=1)[0][:2]
    convolution = model.get_layer("stem_conv")
    unpadded = keras.layers.Conv2D(6, 5, activation="tanh")
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    assert unpadded(padded).shape[1:3] == (28, 28)
    unpadded.set_weights(convolution.get_weights())
    output = keras.ops.convert_to_numpy(convolution(images))
    np.testing.assert_allclose(output, keras.ops.convert_to_numpy(unpadded(padded)), atol=1e-6)


def test_average_pooling_and_tanh(model):
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("AveragePooling2D") == 2 and not any("Max" in kind for kind in kinds)
    inner = ("stem_conv", "level1_conv", "head_dense1", "head_dense2")
    assert {model.get_layer(name).activation.__name__ for name in inner} == {"tanh"}


def test_preprocessing_of_white_and_black():
    steps = kapps.card("lenet5").preprocessing
    black_and_white = [(value * steps.scale - steps.mean[0]) / steps.std[0] for value in (0, 255)]
    assert black_and_white == pytest.approx([-0.1, 1.175])

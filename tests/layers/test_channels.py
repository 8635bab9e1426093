"""Channel split and shuffle compared with NumPy, at known and unknown sizes."""

import keras
import numpy as np
import pytest

from kapps.layers import ChannelShuffle, channel_shuffle, split_channels, to_keras_layers

IMAGES = np.arange(2 * 3 * 5 * 12, dtype="float32").reshape(2, 3, 5, 12)


def model(function, size=(3, 5)):
    """Returns the model of a function of an image."""
    image = keras.Input((*size, 12))
    return keras.Model(image, function(image))


def run(model, images=IMAGES):
    outputs = model(images)
    if isinstance(outputs, list):
        return [keras.ops.convert_to_numpy(x) for x in outputs]
    return keras.ops.convert_to_numpy(outputs)


@pytest.mark.parametrize("size", [(3, 5), (None, None)])
@pytest.mark.parametrize("groups", [2, 3, 4, 12])
def test_shuffle_interleaves_groups(groups, size):
    shuffled = model(lambda x: channel_shuffle(x, groups, name="shuffle"), size)
    assert shuffled.output_shape == (None, *size, 12)
    order = np.arange(12).reshape(groups, -1).T.reshape(-1)
    np.testing.assert_array_equal(run(shuffled), IMAGES[..., order])
    assert [order[0], order[1]] == [0, 12 // groups]  # neighbours belong to different groups


def test_one_group_is_not_shuffled():
    image = keras.Input((3, 5, 12))
    assert channel_shuffle(image, 1, name="shuffle") is image


def test_shuffle_in_keras_layers_is_equal():
    shuffled = model(lambda x: channel_shuffle(x, 3, name="shuffle"))
    own = to_keras_layers(shuffled)
    assert not any(isinstance(layer, ChannelShuffle) for layer in own.layers)
    assert own.layers[-1].name == "shuffle"
    np.testing.assert_array_equal(run(own), run(shuffled))


def test_shuffle_in_keras_layers_needs_a_size():
    with pytest.raises(ValueError) as caught:
        to_keras_layers(model(lambda x: channel_shuffle(x, 3, name="shuffle"), (None, None)))
    assert "fixed height and width" in str(caught.value)


def test_channels_that_groups_do_not_divide_raise():
    with pytest.raises(ValueError) as caught:
        model(lambda x: channel_shuffle(x, 5, name="shuffle"))
    assert "12 channels are not a multiple of 5 groups" in str(caught.value)


@pytest.mark.parametrize("size", [(3, 5), (None, None)])
def test_split_is_a_slice(size):
    first, rest = run(model(lambda x: split_channels(x, 5, name="split"), size))
    np.testing.assert_array_equal(first, IMAGES[..., :5])
    np.testing.assert_array_equal(rest, IMAGES[..., 5:])


@pytest.mark.tensorflow
def test_exported_shuffle_and_split_agree(tmp_path):
    from kapps import export

    def both(x):
        first, rest = split_channels(channel_shuffle(x, 4, name="shuffle"), 5, name="split")
        x = keras.layers.Concatenate()([rest, first])
        return keras.layers.GlobalAveragePooling2D()(x)

    whole = model(both)
    path = export.tflite(whole, tmp_path / "shuffle.tflite")
    assert export.verify(whole, path, IMAGES).largest_difference < 1e-3  # of values to 360

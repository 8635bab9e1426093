"""Channels divided and shuffled, against NumPy, at known and unknown sizes."""

import keras
import numpy as np
import pytest

from kapps.layers import ChannelShuffle, channel_shuffle, split_channels, to_keras_layers

IMAGES = np.arange(2 * 3 * 5 * 12, dtype="float32").reshape(2, 3, 5, 12)


def model(make, size=(3, 5)):
    """Returns the model of what `make` makes of an image."""
    image = keras.Input((*size, 12))
    return keras.Model(image, make(image))


def run(model, images=IMAGES):
    given = model(images)
    return [keras.ops.convert_to_numpy(x) for x in given] if isinstance(given, list) else (
        keras.ops.convert_to_numpy(given)
    )  # fmt: skip


@pytest.mark.parametrize("size", [(3, 5), (None, None)])
@pytest.mark.parametrize("groups", [2, 3, 4, 12])
def test_shuffle_deals_groups_out_in_turn(groups, size):
    shuffled = model(lambda x: channel_shuffle(x, groups, name="shuffle"), size)
    assert shuffled.output_shape == (None, *size, 12)
    order = np.arange(12).reshape(groups, -1).T.reshape(-1)
    np.testing.assert_array_equal(run(shuffled), IMAGES[..., order])
    assert [order[0], order[1]] == [0, 12 // groups]  # neighbours are of different groups


def test_one_group_needs_no_shuffle():
    image = keras.Input((3, 5, 12))
    assert channel_shuffle(image, 1, name="shuffle") is image


def test_shuffle_of_keras_own_layers_is_the_same():
    shuffled = model(lambda x: channel_shuffle(x, 3, name="shuffle"))
    own = to_keras_layers(shuffled)
    assert not any(isinstance(layer, ChannelShuffle) for layer in own.layers)
    assert own.layers[-1].name == "shuffle"
    np.testing.assert_array_equal(run(own), run(shuffled))


def test_shuffle_of_keras_own_layers_wants_a_size():
    with pytest.raises(ValueError) as caught:
        to_keras_layers(model(lambda x: channel_shuffle(x, 3, name="shuffle"), (None, None)))
    assert "fixed height and width" in str(caught.value)


def test_channels_that_no_groups_divide_are_refused():
    with pytest.raises(ValueError) as caught:
        model(lambda x: channel_shuffle(x, 5, name="shuffle"))
    assert "12 channels are not a multiple of 5 groups" in str(caught.value)


@pytest.mark.parametrize("size", [(3, 5), (None, None)])
def test_split_is_a_slice(size):
    first, rest = run(model(lambda x: split_channels(x, 5, name="split"), size))
    np.testing.assert_array_equal(first, IMAGES[..., :5])
    np.testing.assert_array_equal(rest, IMAGES[..., 5:])


@pytest.mark.tensorflow
def test_exported_shuffle_and_split_are_the_same(tmp_path):
    from kapps import export

    def both(x):
        first, rest = split_channels(channel_shuffle(x, 4, name="shuffle"), 5, name="split")
        x = keras.layers.Concatenate()([rest, first])
        return keras.layers.GlobalAveragePooling2D()(x)

    whole = model(both)
    path = export.tflite(whole, tmp_path / "shuffle.tflite")
    assert export.verify(whole, path, IMAGES).largest_difference < 1e-3  # of values to 360

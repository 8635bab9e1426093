"""Activation maximisation: linear units, whose best image is known, and trained values."""

import keras
import numpy as np
import pytest
from keras import layers

from kapps.visualize import features, maximisation


def test_waves_are_orthonormal_with_their_frequencies():
    for size in (7, 8):
        waves, frequencies = maximisation._waves(size)
        np.testing.assert_allclose(waves.T @ waves, np.eye(size), atol=1e-6)
        for wave, frequency in zip(waves.T, frequencies, strict=True):
            spectrum = np.abs(np.fft.rfft(wave))
            assert np.isclose(np.fft.rfftfreq(size)[spectrum.argmax()], frequency)


def test_a_linear_unit_gets_the_signs_of_its_kernel():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])
    kernel = np.random.default_rng(0).normal(size=(8, 8, 1, 3)).astype("float32")
    model.layers[-1].set_weights([kernel.reshape(64, 3), np.zeros(3)])
    still = dict(jitter=0, scale=0, rotation=0)
    images, values = maximisation.maximise(
        model, [2, 0], value_range=(-1, 1), steps=150, learning_rate=0.3, **still
    )
    assert images.shape == (2, 8, 8, 1) and values.shape == (150, 2)
    for image, unit, value in zip(images, (2, 0), values[-1], strict=True):
        assert (np.sign(image) == np.sign(kernel[..., unit])).mean() > 0.9
        assert 0.8 * np.abs(kernel[..., unit]).sum() < value <= np.abs(kernel[..., unit]).sum()


def test_with_a_penalty_a_linear_unit_gets_its_kernel_over_twice_the_penalty():
    """The largest of w x - penalty x^2 (Simonyan 2013, arXiv:1312.6034)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(1)])
    kernel = np.random.default_rng(0).uniform(0.2, 0.8, size=(36, 1))
    model.layers[-1].set_weights([kernel, np.zeros(1)])
    still = dict(jitter=0, scale=0, rotation=0)
    images, _ = maximisation.maximise(
        model, [0], penalty=0.5, steps=400, learning_rate=0.1, **still
    )
    np.testing.assert_allclose(images.ravel(), kernel.ravel(), atol=0.01)


def test_grey_images_have_equal_channels():
    model = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(1)])
    images, _ = maximisation.maximise(model, [0], grey=True, steps=3)
    assert images.shape == (1, 6, 6, 3) and (images[..., :1] == images).all() and np.ptp(images) > 0


def test_a_channel_has_a_larger_value_than_on_random_images_and_the_weights_stay():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(5, 3, activation="relu", name="conv"), layers.BatchNormalization(),
         layers.Flatten(), layers.Dense(2)]
    )  # fmt: skip
    before = [w.copy() for w in model.get_weights()]
    images, values = maximisation.maximise(model, [0, 3], "conv", steps=80, jitter=1)
    assert images.min() >= 0 and images.max() <= 1
    (maps,) = features.feature_maps(
        model, np.random.default_rng(1).random((100, 16, 16, 3)), "conv"
    ).values()
    assert (values[-10:].mean(axis=0) > maps.mean(axis=(1, 2)).max(axis=0)[[0, 3]]).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.trainable and len(model.trainable_weights) == 6
    direction = np.array([[1.0, 0, 0, 1, 0]])
    (both,) = maximisation.maximise(model, direction, "conv", steps=2, objective="neuron")[0]
    assert both.shape == (16, 16, 3)


def test_a_dead_unit_is_reached():
    inputs = keras.Input((8, 8, 1))
    conv = layers.Conv2D(1, 3, activation="relu", name="conv")
    model = keras.Model(inputs, layers.Flatten()(conv(inputs)))
    conv.set_weights([np.ones((3, 3, 1, 1)), np.array([-6.0])])  # 0 for a grey image
    _, values = maximisation.maximise(model, [0], "conv", steps=60, jitter=1, learning_rate=0.3)
    assert values[0] == 0 and values[-1] > 0.5


def test_bad_arguments_are_errors():
    model = keras.Sequential(
        [keras.Input((None, None, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    for options, words in (
        ({}, "any size"),
        ({"size": (8, 8), "units": [2]}, "0 to 1"),
        ({"size": (8, 8), "units": np.ones((1, 3))}, "vectors of 2"),
        ({"size": (8, 8), "objective": "other"}, "channel"),
        ({"size": (8, 8), "steps": 0}, "steps=0"),
    ):
        with pytest.raises(ValueError, match=words):
            maximisation.maximise(model, **{"units": [0]} | options)

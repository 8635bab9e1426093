"""Accuracy booster compared with the formula."""

import keras
import numpy as np

import kapps
from kapps.cnn.accuracy_booster import booster


def test_formula(randomise):
    image = keras.Input((4, 5, 8))
    model = randomise(keras.Model(image, booster(image, name="level2_block1")))
    weights = np.random.default_rng(1).normal(size=(1, 1, 8, 1))
    model.get_layer("level2_block1_booster").kernel.assign(weights)
    norm = model.get_layer("level2_block1_booster_bn")
    gamma, beta, mean, variance = norm.get_weights()
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 8)).astype("float32")
    z = x.mean(axis=(1, 2)) * weights[0, 0, :, 0]
    z = gamma * (z - mean) / np.sqrt(variance + norm.epsilon) + beta
    expected = x / (1 + np.exp(-z))[:, None, None]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), expected, rtol=1e-5, atol=1e-5)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 3 * 8


def test_three_parameters_for_each_channel_of_a_block():
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
    for depth, depths in blocks.items():
        widths = (64, 128, 256, 512) if depth < 50 else (256, 512, 1024, 2048)
        channels = sum(n * width for n, width in zip(depths, widths, strict=True))
        added = kapps.card(f"booster_resnet{depth}").params - kapps.card(f"resnet{depth}").params
        assert added == 3 * channels

"""Heads: from a feature map to a prediction."""

import keras
import numpy as np
import pytest

from kapps import heads


@pytest.mark.parametrize("pooling, reduce", [("avg", np.mean), ("max", np.max)])
def test_pool(pooling, reduce):
    pictures = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    image = keras.Input((3, 5, 4))
    pooled = keras.Model(image, heads.pool(image, pooling))(pictures)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(pooled), reduce(pictures, axis=(1, 2)), atol=1e-6
    )


def test_classifier_keeps_what_half_precision_loses():
    """Logits of 40 apart: half precision gives the second class 0, and its logarithm -inf."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        features = keras.Input((1,))
        model = keras.Model(features, heads.classifier(features, 2, "softmax"))
    finally:
        keras.config.set_dtype_policy(before)
    model.set_weights([np.array([[20.0, -20.0]]), np.zeros(2)])
    probabilities = keras.ops.convert_to_numpy(model(np.ones((1, 1), "float16")))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(-np.log(probabilities[0, 1]), 40, rtol=1e-3)


def test_logits_and_activation_are_apart():
    features = keras.Input((4,))
    model = keras.Model(features, heads.classifier(features, 3, None))
    assert [layer.name for layer in model.layers[1:]] == ["head_logits", "predictions"]
    assert model.get_layer("head_logits").activation is keras.activations.linear
    assert model.get_layer("predictions").activation is keras.activations.linear


@pytest.mark.parametrize("size", [(6, 6), (8, 9), (3, 2), (1, 7)])
def test_flatten_averages_to_the_grid(size):
    """Against the definition: window i of n covers [i h / n, (i + 1) h / n), in whole cells where there are enough."""
    cells = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    image = keras.Input((*size, 3))
    model = keras.Model(image, heads.flatten(image, (6, 6)))
    whole = min(size) >= 6

    def weights(length):  # of each cell in each window
        edges = np.arange(7) * length / 6
        low, high = edges[:-1, None], edges[1:, None]
        if whole:
            low, high = np.floor(low), np.ceil(high)
        at = np.arange(length)[None]
        share = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
        return share / share.sum(axis=1, keepdims=True)

    expected = np.einsum("bhwc,ih,jw->bijc", cells, weights(size[0]), weights(size[1]))
    given = keras.ops.convert_to_numpy(model(cells))
    assert given.shape == (2, 6 * 6 * 3)
    np.testing.assert_allclose(given, expected.reshape(2, -1), atol=1e-5)

"""Heads: from a feature map to a prediction."""

import keras
import numpy as np
import pytest

from kapps import heads


@pytest.mark.parametrize("pooling, reduce", [("avg", np.mean), ("max", np.max)])
def test_pool(pooling, reduce):
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    image = keras.Input((3, 5, 4))
    pooled = keras.Model(image, heads.pool(image, pooling))(images)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(pooled), reduce(images, axis=(1, 2)), atol=1e-6
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


def test_average_drops_features_in_training_alone():
    image = keras.Input((2, 2, 200))
    model = keras.Model(image, heads.average(image, 3, None, dropout=0.5))
    features = keras.Model(image, model.get_layer("head_dropout").output)
    ones = np.ones((1, 2, 2, 200), "float32")
    kept = keras.ops.convert_to_numpy(features(ones, training=True))
    assert set(np.unique(kept)) == {0, 2} and 50 < (kept > 0).sum() < 150
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(features(ones, training=False)), 1)


FEATURES = np.random.default_rng(1).normal(size=(2, 4, 6, 3)).astype("float32")


def on_features(head, classes=5, activation="softmax", **options):
    """Returns the model of a head on a 4 x 6 map of 3 channels, its weights random."""
    image = keras.Input((4, 6, 3))
    model = keras.Model(image, head(image, classes, activation, **options))
    draw = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(draw.normal(size=variable.shape))
    return model


def run(model, features=FEATURES):
    return keras.ops.convert_to_numpy(model(features, training=False))


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def parameters(model, name="head_logits"):
    return [keras.ops.convert_to_numpy(weight) for weight in model.get_layer(name).weights]


def test_vectorised_reads_every_pixel():
    model = on_features(heads.vectorised)
    kernel, bias = parameters(model)
    np.testing.assert_allclose(
        run(model), softmax(FEATURES.reshape(2, -1) @ kernel + bias), atol=1e-5
    )


def test_vote_is_the_mean_of_each_pixels_prediction():
    model = on_features(heads.vote)
    kernel, bias = parameters(model)
    expected = softmax(FEATURES @ kernel + bias).mean(axis=(1, 2))
    np.testing.assert_allclose(run(model), expected, atol=1e-5)
    pooled = softmax(FEATURES.mean(axis=(1, 2)) @ kernel + bias)
    assert np.abs(expected - pooled).max() > 0.01  # which is another thing


def test_vote_takes_a_map_of_any_size():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, heads.vote(image, 5, "softmax"))
    np.testing.assert_allclose(run(model).sum(axis=-1), 1, atol=1e-5)


def test_weighted_pooling_weights_places_and_begins_as_the_mean():
    image = keras.Input((4, 6, 3))
    model = keras.Model(image, heads.weighted(image, 5, None))
    pooled = keras.Model(image, model.get_layer("head_pool").output)
    np.testing.assert_allclose(run(pooled), FEATURES.mean(axis=(1, 2)), atol=1e-6)
    places = np.random.default_rng(3).normal(size=(24, 1)).astype("float32")
    model.get_layer("head_weights").set_weights([places])
    expected = np.einsum("bhwc,hw->bc", FEATURES, places.reshape(4, 6))
    np.testing.assert_allclose(run(pooled), expected, atol=1e-5)
    assert sum(np.prod(w.shape) for w in model.trainable_variables) == 24 + 3 * 5 + 5


def test_pyramid_is_the_largest_of_each_cell():
    model = on_features(heads.pyramid, grids=(1, 2))
    kernel, bias = parameters(model)
    whole = FEATURES.max(axis=(1, 2))
    quarters = FEATURES.reshape(2, 2, 2, 2, 3, 3).max(axis=(2, 4)).reshape(2, -1)
    cells = np.concatenate([whole, quarters], axis=1)
    np.testing.assert_allclose(run(model), softmax(cells @ kernel + bias), atol=1e-5)


def test_pyramid_has_as_many_features_for_every_size():
    for size in ((7, 7), (10, 8)):
        image = keras.Input((*size, 3))
        model = keras.Model(image, heads.pyramid(image, 5, "softmax"))
        assert model.get_layer("head_logits").kernel.shape == (50 * 3, 5)


def test_pyramid_refuses_a_map_smaller_than_its_grid():
    with pytest.raises(ValueError) as caught:
        on_features(heads.pyramid)
    assert "(4, 6)" in str(caught.value) and "6 x 6" in str(caught.value)


def test_several_heads_share_a_body_and_have_their_own_classifier():
    image = keras.Input((4, 6, 3))
    model = keras.Model(image, heads.several(image, {"digit": 10, "parity": 2}, "softmax"))
    given = model(FEATURES)
    assert {task: tuple(x.shape) for task, x in given.items()} == {
        "digit": (2, 10),
        "parity": (2, 2),
    }
    model.compile("sgd", dict.fromkeys(given, "sparse_categorical_crossentropy"))
    labels = {"digit": np.array([3, 8]), "parity": np.array([1, 0])}
    before = parameters(model, "head_logits_parity")[0]
    model.train_on_batch(FEATURES, labels)
    assert np.abs(parameters(model, "head_logits_parity")[0] - before).max() > 0


@pytest.mark.parametrize("head", [heads.vectorised, heads.vote, heads.weighted, heads.pyramid])
def test_heads_predict_in_float32_under_half_precision(head):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        image = keras.Input((6, 7, 3))
        model = keras.Model(image, head(image, 5, "softmax"))
    finally:
        keras.config.set_dtype_policy(before)
    predictions = run(model, np.ones((2, 6, 7, 3), "float16"))
    assert predictions.dtype == np.float32
    np.testing.assert_allclose(predictions.sum(axis=-1), 1, atol=1e-5)


def test_dense_reads_the_whole_map_and_drops_after_each_hidden_layer():
    image = keras.Input((4, 4, 2))
    end = heads.dense(image, 3, None, units=(5, 6), grid=(2, 2), function="tanh", dropout=0.25)
    model = keras.Model(image, end)
    shapes = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    assert shapes == [(2 * 2 * 2, 5), (5, 6), (6, 3)]
    names = " ".join(layer.name for layer in model.layers)
    assert "head_dense1 head_dropout1 head_dense2 head_dropout2 head_logits predictions" in names
    assert model.get_layer("head_dropout2").rate == 0.25
    assert model.get_layer("head_dense1").activation is keras.activations.tanh


def test_evidence_is_the_mean_of_what_is_not_negative():
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    image = keras.Input((None, None, 4))
    model = keras.Model(image, heads.evidence(image, 6, None, dropout=0.5))
    kernel, bias = model.get_layer("head_logits").get_weights()
    given = keras.ops.convert_to_numpy(model(images, training=False))
    expected = np.maximum(images @ kernel + bias, 0).mean(axis=(1, 2))
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)
    assert model.get_layer("head_dropout").rate == 0.5

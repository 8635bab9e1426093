"""Heads: from a feature map to a prediction."""

import functools

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


def test_classifier_computes_in_float32_under_half_precision():
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


def test_logits_and_activation_are_separate_layers():
    features = keras.Input((4,))
    model = keras.Model(features, heads.classifier(features, 3, None))
    assert [layer.name for layer in model.layers[1:]] == ["head_logits", "predictions"]
    assert model.get_layer("head_logits").activation is keras.activations.linear
    assert model.get_layer("predictions").activation is keras.activations.linear


@pytest.mark.parametrize("size", [(6, 6), (8, 9), (3, 2), (1, 7)])
def test_flatten_averages_to_the_grid(size):
    """Against the definition: window i of n covers the cells from floor(i h / n) to ceil((i + 1) h / n)."""
    cells = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    image = keras.Input((*size, 3))
    model = keras.Model(image, heads.flatten(image, (6, 6)))

    def weights(length):  # of each cell in each window
        edges = np.arange(7) * length / 6
        low, high = np.floor(edges[:-1, None]), np.ceil(edges[1:, None])
        at = np.arange(length)[None]
        share = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
        return share / share.sum(axis=1, keepdims=True)

    expected = np.einsum("bhwc,ih,jw->bijc", cells, weights(size[0]), weights(size[1]))
    result = keras.ops.convert_to_numpy(model(cells))
    assert result.shape == (2, 6 * 6 * 3)
    np.testing.assert_allclose(result, expected.reshape(2, -1), rtol=1e-5, atol=1e-5)


def test_dropout_of_global_average_pooling_only_in_training():
    image = keras.Input((2, 2, 200))
    model = keras.Model(image, heads.global_average_pooling(image, 3, None, dropout=0.5))
    features = keras.Model(image, model.get_layer("head_dropout").output)
    ones = np.ones((1, 2, 2, 200), "float32")
    dropped = keras.ops.convert_to_numpy(features(ones, training=True))
    assert set(np.unique(dropped)) == {0, 2} and 50 < (dropped > 0).sum() < 150
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


def test_flatten_dense_without_hidden_layers_reads_every_pixel():
    model = on_features(heads.flatten_dense, units=())
    kernel, bias = parameters(model)
    np.testing.assert_allclose(
        run(model), softmax(FEATURES.reshape(2, -1) @ kernel + bias), atol=1e-5
    )


def test_per_pixel_classifier_is_the_mean_of_each_pixels_prediction():
    model = on_features(heads.per_pixel_classifier)
    kernel, bias = parameters(model)
    expected = softmax(FEATURES @ kernel + bias).mean(axis=(1, 2))
    np.testing.assert_allclose(run(model), expected, rtol=1e-5, atol=1e-5)
    pooled = softmax(FEATURES.mean(axis=(1, 2)) @ kernel + bias)
    assert np.abs(expected - pooled).max() > 0.01  # the mean of the features would differ


def test_per_pixel_classifier_takes_a_map_of_any_size():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, heads.per_pixel_classifier(image, 5, "softmax"))
    np.testing.assert_allclose(run(model).sum(axis=-1), 1, rtol=1e-5, atol=1e-5)


def test_spatially_weighted_pooling_weights_pixels_and_begins_as_the_mean():
    image = keras.Input((4, 6, 3))
    model = keras.Model(image, heads.spatially_weighted_pooling(image, 5, None))
    pooled = keras.Model(image, model.get_layer("head_pool").output)
    np.testing.assert_allclose(run(pooled), FEATURES.mean(axis=(1, 2)), atol=1e-6)
    weights = np.random.default_rng(3).normal(size=(24, 1)).astype("float32")
    model.get_layer("head_weights").set_weights([weights])
    expected = np.einsum("bhwc,hw->bc", FEATURES, weights.reshape(4, 6))
    np.testing.assert_allclose(run(pooled), expected, rtol=1e-5, atol=1e-5)
    assert sum(np.prod(w.shape) for w in model.trainable_variables) == 24 + 3 * 5 + 5


def test_spatial_pyramid_pooling_is_the_maximum_of_each_cell():
    model = on_features(heads.spatial_pyramid_pooling, grids=(1, 2))
    kernel, bias = parameters(model)
    whole = FEATURES.max(axis=(1, 2))
    quarters = FEATURES.reshape(2, 2, 2, 2, 3, 3).max(axis=(2, 4)).reshape(2, -1)
    cells = np.concatenate([whole, quarters], axis=1)
    np.testing.assert_allclose(run(model), softmax(cells @ kernel + bias), rtol=1e-5, atol=1e-5)


def test_spatial_pyramid_pooling_has_equally_many_features_for_every_size():
    for size in ((7, 7), (10, 8)):
        image = keras.Input((*size, 3))
        model = keras.Model(image, heads.spatial_pyramid_pooling(image, 5, "softmax"))
        assert model.get_layer("head_logits").kernel.shape == (50 * 3, 5)


def test_spatial_pyramid_pooling_rejects_a_map_smaller_than_its_grid():
    with pytest.raises(ValueError) as caught:
        on_features(heads.spatial_pyramid_pooling)
    assert "(4, 6)" in str(caught.value) and "6 x 6" in str(caught.value)


def test_multi_task_has_a_classifier_for_each_task():
    image = keras.Input((4, 6, 3))
    model = keras.Model(image, heads.multi_task(image, {"digit": 10, "parity": 2}, "softmax"))
    result = model(FEATURES)
    assert {task: tuple(x.shape) for task, x in result.items()} == {
        "digit": (2, 10),
        "parity": (2, 2),
    }
    model.compile("sgd", dict.fromkeys(result, "sparse_categorical_crossentropy"))
    labels = {"digit": np.array([3, 8]), "parity": np.array([1, 0])}
    before = parameters(model, "head_logits_parity")[0]
    model.train_on_batch(FEATURES, labels)
    assert np.abs(parameters(model, "head_logits_parity")[0] - before).max() > 0


@pytest.mark.parametrize(
    "head",
    [
        functools.partial(heads.flatten_dense, units=()),
        heads.per_pixel_classifier,
        heads.spatially_weighted_pooling,
        heads.spatial_pyramid_pooling,
    ],
)
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
    np.testing.assert_allclose(predictions.sum(axis=-1), 1, rtol=1e-5, atol=1e-5)


def test_flatten_dense_has_dropout_after_each_hidden_layer():
    image = keras.Input((4, 4, 2))
    end = heads.flatten_dense(
        image, 3, None, units=(5, 6), grid=(2, 2), hidden_activation="tanh", dropout=0.25
    )
    model = keras.Model(image, end)
    shapes = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    assert shapes == [(2 * 2 * 2, 5), (5, 6), (6, 3)]
    names = " ".join(layer.name for layer in model.layers)
    assert "head_dense1 head_dropout1 head_dense2 head_dropout2 head_logits predictions" in names
    assert model.get_layer("head_dropout2").rate == 0.25
    assert model.get_layer("head_dense1").activation is keras.activations.tanh


def test_class_map_pooling_is_the_mean_of_rectified_maps():
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    image = keras.Input((None, None, 4))
    model = keras.Model(image, heads.class_map_pooling(image, 6, None, dropout=0.5))
    kernel, bias = model.get_layer("head_logits").get_weights()
    result = keras.ops.convert_to_numpy(model(images, training=False))
    expected = np.maximum(images @ kernel + bias, 0).mean(axis=(1, 2))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    assert model.get_layer("head_dropout").rate == 0.5

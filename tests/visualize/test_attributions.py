"""Attributions: finite differences, the axioms, networks whose attributions are known, and captum."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kapps.visualize import attributions

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(3, 12, 12, 3)).astype("float32")
CLASSES = np.array([0, 4, 2])


def array(x):
    return ops.convert_to_numpy(x)


def nested_network(**options):
    """A body in a model of its own, an operation ReLU, and probabilities."""
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(6, 3, activation="relu", bias_initializer="random_normal", **options),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, **options),
            layers.ReLU(),
        ],
        name="body",
    )
    x = inputs = keras.Input((12, 12, 3))
    x = ops.relu(layers.BatchNormalization()(body(x)) - 0.01)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="top")(x), name="whole")


def logits(model, images):
    probabilities = array(model(images)).astype("float64")
    return np.log(probabilities) - np.log(probabilities).mean(axis=1, keepdims=True)


def test_saliency_is_the_gradient_of_the_logit():
    """The softmax of centred logits is that of the logits, so that their differences are compared.

    The network is smooth: a difference over a kink of ReLU is not the gradient.
    """
    keras.utils.set_random_seed(0)
    body = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(6, 3, activation="tanh")])
    inputs = keras.Input((12, 12, 3))
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(body(inputs)))
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(x))
    first, second = (attributions.saliency(model, IMAGES, i) for i in (1, 3))
    for place in ((3, 4, 1), (8, 2, 0)):
        step = np.zeros_like(IMAGES)
        step[(slice(None), *place)] = 0.02
        after, before = logits(model, IMAGES + step), logits(model, IMAGES - step)
        expected = (after[:, 1] - after[:, 3] - before[:, 1] + before[:, 3]) / 0.04
        result = (first - second)[(slice(None), *place)]
        np.testing.assert_allclose(result, expected, atol=2e-3 * np.abs(first).max())


def test_classes_are_one_for_all_one_each_predicted_or_a_function():
    model = nested_network()
    rows = attributions.saliency(model, IMAGES, CLASSES)
    for i, label in enumerate(CLASSES):
        np.testing.assert_allclose(rows[i], attributions.saliency(model, IMAGES, int(label))[i])
    predicted = array(model(IMAGES)).argmax(axis=1)
    expected = attributions.saliency(model, IMAGES, predicted)
    np.testing.assert_allclose(attributions.saliency(model, IMAGES), expected)
    np.testing.assert_allclose(
        attributions.saliency(model, IMAGES, batch_size=2), expected, rtol=1e-4, atol=1e-7
    )
    probability = attributions.saliency(model, IMAGES, lambda outputs: outputs[:, 1])
    assert (
        np.corrcoef(probability.ravel(), attributions.saliency(model, IMAGES, 1).ravel())[0, 1]
        < 0.99
    )


def test_integrated_gradients_are_complete():
    model = nested_network()
    result = attributions.integrated_gradients(model, IMAGES, CLASSES, nodes=100)
    scores = attributions.scores(model, IMAGES, CLASSES)
    start = attributions.scores(model, 0 * IMAGES, CLASSES)
    sums = result.attributions.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(sums - (scores - start), result.completeness_error, atol=1e-5)
    assert np.abs(result.completeness_error).max() < 0.02 * np.abs(scores - start).max()


def test_an_input_without_effect_has_no_attribution():
    inputs = keras.Input((12, 12, 3))
    x = layers.Flatten()(inputs[:, 6:])
    model = keras.Model(inputs, layers.Dense(4)(layers.Dense(9, activation="relu")(x)))
    for method in (
        attributions.saliency, attributions.guided_backpropagation, attributions.deconvnet, attributions.smooth_grad,
    ):  # fmt: skip
        result = method(model, IMAGES, 2)
        assert not result[:, :6].any() and result[:, 6:].any()


def test_a_linear_network_has_its_kernel_as_every_gradient():
    inputs = keras.Input((12, 12, 3))
    dense = layers.Dense(4)
    model = keras.Model(inputs, dense(layers.Flatten()(inputs)))
    kernel = array(dense.kernel)[:, 2].reshape(1, 12, 12, 3)
    expected = np.repeat(kernel, 3, axis=0)
    np.testing.assert_allclose(attributions.saliency(model, IMAGES, 2), expected, atol=1e-6)
    np.testing.assert_allclose(attributions.smooth_grad(model, IMAGES, 2), expected, atol=1e-6)
    integrated = attributions.integrated_gradients(model, IMAGES, 2, baseline=1.0, nodes=1)
    np.testing.assert_allclose(integrated.attributions, (IMAGES - 1) * expected, atol=1e-5)


def test_gradient_times_input_of_relu_without_biases_sums_to_the_logit():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(5, 3, activation="relu", use_bias=False)(inputs)
    model = keras.Model(inputs, layers.Dense(4, use_bias=False)(layers.Flatten()(x)))
    result = attributions.gradient_times_input(model, IMAGES, 1).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(result, array(model(IMAGES))[:, 1], rtol=1e-4, atol=1e-5)


def test_the_gates_of_relu():
    """One weight: y = -relu(x) + 2 relu(-x), by hand."""
    inputs = keras.Input((1, 2, 1))
    first, second = layers.Dense(2, use_bias=False), layers.Dense(1, use_bias=False)
    x = layers.Flatten()(layers.ReLU()(first(inputs)))
    model = keras.Model(inputs, second(x))
    first.set_weights([np.array([[1.0, -1.0]])])
    second.set_weights([np.array([[-1.0], [2.0], [-1.0], [2.0]])])
    images = np.array([[[[3.0], [-2.0]]]])
    score = dict(classes=0)
    saliency = attributions.saliency(model, images, **score)
    np.testing.assert_allclose(saliency[0, 0, :, 0], [-1, -2])
    guided = attributions.guided_backpropagation(model, images, **score)
    np.testing.assert_allclose(guided[0, 0, :, 0], [0, -2])
    projected = attributions.deconvnet(model, images, **score)
    np.testing.assert_allclose(projected[0, 0, :, 0], [-2, -2])


def test_the_projection_of_a_unit_reaches_its_receptive_field_only():
    model = nested_network()
    result = attributions.deconvnet(model, IMAGES, layer="body", unit=2)
    for row in np.abs(result).sum(axis=-1):
        rows, columns = np.nonzero(row)
        if len(rows):  # 3x3, pooling, 3x3: 8 pixels
            assert np.ptp(rows) < 8 and np.ptp(columns) < 8
    assert result.any()


def test_bad_arguments_are_errors():
    model = nested_network()
    gelu = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Dense(3, activation="gelu"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    plain = keras.Sequential([keras.Input((12, 12, 3)), layers.Flatten(), layers.Dense(2)])
    hidden = keras.Sequential(
        [keras.Input((12, 12, 3)), layers.Flatten(), layers.Dense(2), layers.Lambda(ops.softmax)]
    )
    for call, words in (
        (lambda: attributions.saliency(model, IMAGES, 5), "0 to 4"),
        (lambda: attributions.saliency(model, IMAGES, [1, 2]), "each of the 3"),
        (lambda: attributions.saliency(model, IMAGES[0]), "batch"),
        (lambda: attributions.saliency(model, IMAGES[:, :4]), "takes"),
        (lambda: attributions.saliency(hidden, IMAGES), "logits"),
        (lambda: attributions.saliency(model, IMAGES, batch_size=0), "batch_size=0"),
        (lambda: attributions.guided_backpropagation(gelu, IMAGES), "gelu"),
        (lambda: attributions.guided_backpropagation(plain, IMAGES), "no ReLU"),
        (lambda: attributions.deconvnet(model, IMAGES, layer="body", unit=8), "0 to 7"),
        (lambda: attributions.deconvnet(model, IMAGES, unit=8), "pass both"),
        (lambda: attributions.integrated_gradients(model, IMAGES, nodes=0), "nodes=0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()


def test_the_model_is_as_before():
    model = nested_network()
    before = array(model(IMAGES))
    attributions.guided_backpropagation(model, IMAGES)
    assert (array(model(IMAGES)) == before).all()
    assert model.get_layer("top").activation is keras.activations.softmax
    assert keras.layers.Layer.__call__.__module__.startswith("keras")

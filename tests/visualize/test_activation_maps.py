"""Class activation maps, Grad-CAM and occlusion: identities, NumPy loops and nested models."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kapps.visualize import activation_maps, attributions

IMAGES = np.random.default_rng(0).normal(size=(3, 16, 16, 3)).astype("float32")
CLASSES = [0, 4, 2]


def network():
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(6, 3, activation="relu", strides=2, name="maps")],
        name="body",
    )
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(body(inputs))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def test_the_map_of_a_pooling_network_has_the_logit_as_mean_and_is_grad_cam():
    model = network()
    heat = activation_maps.cam(model, IMAGES, CLASSES)
    assert heat.shape == (3, 7, 7)
    bias = ops.convert_to_numpy(model.layers[-1].bias)[CLASSES]
    scores = attributions.scores(model, IMAGES, CLASSES)
    np.testing.assert_allclose(heat.mean(axis=(1, 2)) + bias, scores, rtol=1e-4, atol=1e-6)
    for layer in (None, "maps", "body/maps", "body"):
        result = activation_maps.grad_cam(model, IMAGES, CLASSES, layer=layer)
        np.testing.assert_allclose(49 * result, np.maximum(heat, 0), atol=1e-5)
    signed = activation_maps.grad_cam(model, IMAGES, CLASSES, relu=False)
    np.testing.assert_allclose(49 * signed, heat, atol=1e-5)


def test_grad_cam_plus_plus_of_equal_gradients_follows_the_formula():
    """After pooling the gradient of map k is w_k / Z everywhere: alpha = g^2 / (2 g^2 + sum(A_k) g^3)."""
    model = network()
    result = activation_maps.grad_cam(model, IMAGES, CLASSES, variant="grad_cam++")
    maps = ops.convert_to_numpy(model.get_layer("body")(IMAGES)).astype("float64")
    w = ops.convert_to_numpy(model.layers[-1].kernel).astype("float64")[:, CLASSES].T / 49
    g = np.broadcast_to(w[:, None, None], maps.shape)
    alpha = g**2 / (2 * g**2 + maps.sum(axis=(1, 2), keepdims=True) * g**3 + 1e-7)
    weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2))
    expected = np.maximum((weights[:, None, None] * maps).sum(axis=-1), 0)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-6)


def test_occlusion_is_the_fall_of_the_score():
    model = network()
    result = activation_maps.occlusion(model, IMAGES, CLASSES, square=6, stride=5, fill=0.5)
    assert result.shape == (3, 3, 3)
    covered = IMAGES.copy()
    covered[:, 5:11, 10:16] = 0.5
    fall = attributions.scores(model, IMAGES, CLASSES) - attributions.scores(
        model, covered, CLASSES
    )
    np.testing.assert_allclose(result[:, 1, 2], fall, rtol=1e-3, atol=1e-5)


def test_guided_grad_cam_is_the_product():
    model = network()
    result = activation_maps.guided_grad_cam(model, IMAGES, CLASSES)
    guided = attributions.guided_backpropagation(model, IMAGES, CLASSES)
    heat = activation_maps.enlarge(activation_maps.grad_cam(model, IMAGES, CLASSES), (16, 16))
    np.testing.assert_allclose(result, guided * heat[..., None], rtol=1e-5, atol=1e-8)


def test_a_shared_layer_has_a_map_for_each_call():
    keras.utils.set_random_seed(0)
    inputs, conv = keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same", name="conv")
    x = layers.GlobalAveragePooling2D()(conv(ops.relu(conv(inputs))))
    model = keras.Model(inputs, layers.Dense(2)(x))
    first, second = (
        activation_maps.grad_cam(model, IMAGES[:, :8, :8], 1, layer=name, relu=False)
        for name in ("conv", "conv_call2")
    )
    assert not np.allclose(first, second)
    np.testing.assert_allclose(
        64 * second, activation_maps.cam(model, IMAGES[:, :8, :8], 1), atol=1e-5
    )


def test_bad_arguments_are_errors():
    model = network()
    flat = keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(2)])
    for call, words in (
        (lambda: activation_maps.grad_cam(model, IMAGES, layer="mapz"), "Did you mean"),
        (lambda: activation_maps.grad_cam(model, IMAGES, variant="other"), "grad_cam"),
        (lambda: activation_maps.grad_cam(flat, IMAGES), "no layer with feature maps"),
        (lambda: activation_maps.cam(flat, IMAGES), "GlobalAveragePooling2D"),
        (lambda: activation_maps.occlusion(model, IMAGES, square=17), "square=17"),
    ):
        with pytest.raises(ValueError, match=words):
            call()

"""Conditional batch norm against its equation in NumPy: training, inference, gradients, files, Keras's layers."""

import fingerprints
import keras
import numpy as np
import pytest
from finite_differences import assert_gradients_equal_differences

import kapps
from kapps.layers import ClassAffine, conditional_batch_norm

RANDOM = np.random.default_rng(0)
CLASSES, CHANNELS = 3, 4
LABELS = np.array([2, 0, 2, 1], "int32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def build():
    x, label = keras.Input((5, 6, CHANNELS)), keras.Input((), dtype="int32", name="label")
    y = conditional_batch_norm(x, label, CLASSES, momentum=0.9, epsilon=1e-5, name="norm")
    model = keras.Model([x, label], y)
    model.get_layer("norm_affine").set_weights(RANDOM.normal(size=(2, CLASSES, CHANNELS)))
    return model


def images():
    return RANDOM.normal(2, 3, (4, 5, 6, CHANNELS)).astype("float32")


def equation(x, mean, variance, gamma, beta):
    """gamma_y (x - mean) / sqrt(variance + epsilon) + beta_y, image by image."""
    y = np.empty_like(x)
    for i, label in enumerate(LABELS):
        y[i] = gamma[label] * (x[i] - mean) / np.sqrt(variance + 1e-5) + beta[label]
    return y


def test_training_and_inference_are_the_equation():
    model, x = build(), images()
    gamma, beta = model.get_layer("norm_affine").get_weights()
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    y = array(model([x, LABELS], training=True))
    np.testing.assert_allclose(y, equation(x, mean, variance, gamma, beta), rtol=1e-4, atol=1e-4)
    moving = 0.1 * mean, 0.9 + 0.1 * variance
    y = array(model([x, LABELS], training=False))
    np.testing.assert_allclose(y, equation(x, *moving, gamma, beta), rtol=1e-3, atol=1e-3)
    assert sum(w.shape[0] * w.shape[1] for w in model.trainable_weights) == 2 * CLASSES * CHANNELS


def test_at_first_all_classes_are_those_of_a_batch_norm():
    x, label = keras.Input((5, 6, CHANNELS)), keras.Input((), dtype="int32")
    model = keras.Model([x, label], conditional_batch_norm(x, label, 2, 0.9, 1e-5, "norm"))
    images_ = images()
    y = array(model([images_, LABELS % 2], training=True))
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, rtol=1e-3, atol=1e-4)


def test_gradients():
    """Of the tables; a class that no image has gets none."""
    with fingerprints.float64():
        x, label = keras.Input((2, 2, 2)), keras.Input((), dtype="int32")
        model = keras.Model([x, label], ClassAffine(CLASSES)([x, label]))
        inputs = [RANDOM.normal(size=(2, 2, 2, 2)), np.array([2, 0], "int32")]
        assert_gradients_equal_differences(model, inputs)


def test_file_keras_layers_and_cost(tmp_path):
    model, x = build(), images()
    expected = array(model([x, LABELS]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded([x, LABELS])), expected)
    plain = kapps.to_keras_layers(model)
    np.testing.assert_allclose(array(plain([x, LABELS])), expected, rtol=1e-5, atol=1e-5)
    profile = kapps.profile(model, [(5, 6, CHANNELS), ()])
    assert profile.macs == 0 and profile.trainable == 2 * CLASSES * CHANNELS


def test_values_that_are_not_numbers_of_classes_raise():
    for classes in (0, 2.5, True):
        with pytest.raises(ValueError, match="classes"):
            ClassAffine(classes)

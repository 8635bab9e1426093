"""Compiled functions of a model: equal to those that are not, and made once for a model."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from kapps.visualize import _compiled, activation_maps, attributions

IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
METHODS = {
    "saliency": attributions.saliency,
    "smooth": functools.partial(attributions.smooth_grad, samples=2),
    "guided": attributions.guided_backpropagation,
    "deconvnet": attributions.deconvnet,
    "unit": functools.partial(attributions.deconvnet, layer="conv", unit=1),
    "grad_cam": activation_maps.grad_cam,
    "occlusion": activation_maps.occlusion,
    "function": functools.partial(attributions.saliency, classes=lambda outputs: outputs[:, 1] ** 2),
}  # fmt: skip


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", name="top"),
        ]
    )


def test_compiled_methods_have_the_same_results_also_after_the_weights_change(monkeypatch):
    model, other = network(), network()
    other.set_weights([0.5 + 2 * w for w in model.get_weights()])
    expected = [[f(m, IMAGES) for m in (model, other)] for f in METHODS.values()]
    monkeypatch.setattr(_compiled, "LARGE", 0)
    results = [f(model, IMAGES) for f in METHODS.values()]
    model.set_weights(other.get_weights())
    for name, first, method, row in zip(METHODS, results, METHODS.values(), expected, strict=True):
        for result, value in zip((first, method(model, IMAGES)), row, strict=True):
            np.testing.assert_allclose(
                result, value, rtol=1e-4, atol=1e-5 * np.abs(value).max(), err_msg=name
            )


def test_a_function_is_compiled_once_and_again_after_an_activation_changes(monkeypatch):
    model, makes = network(), []

    def compiled(function, variables):
        del variables
        makes.append(function)
        return function

    monkeypatch.setattr(_compiled, "compiled", compiled)
    attributions.saliency(model, IMAGES, 0)
    assert not makes  # a small call
    monkeypatch.setattr(_compiled, "LARGE", 0)
    attributions.saliency(model, IMAGES, 0)
    count = len(makes)
    before = attributions.guided_backpropagation(model, IMAGES, 0)
    assert len(makes) == count + 1
    attributions.saliency(model, IMAGES[:1], 1)
    attributions.guided_backpropagation(model, IMAGES, 0)
    assert len(makes) == count + 1
    model.get_layer("conv").activation = keras.activations.relu6
    model.get_layer("conv").set_weights([9 * w for w in model.get_layer("conv").get_weights()])
    after = attributions.guided_backpropagation(model, IMAGES, 0)
    assert len(makes) > count + 1 and not np.allclose(before, after)


def test_a_model_with_compiled_functions_is_saved_and_cloned(tmp_path, monkeypatch):
    monkeypatch.setattr(_compiled, "LARGE", 0)
    model = network()
    expected = attributions.saliency(model, IMAGES, 0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(attributions.saliency(loaded, IMAGES, 0), expected, rtol=1e-5)
    clone = keras.models.clone_model(model)
    assert _compiled.ATTRIBUTE not in clone.__dict__


@pytest.mark.parametrize("compiles", [False, True])
def test_an_error_in_a_compiled_function_is_the_same(monkeypatch, compiles):
    monkeypatch.setattr(_compiled, "LARGE", 0 if compiles else 2**60)
    plain = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
    for _ in range(2):
        with pytest.raises(ValueError, match="no ReLU"):
            attributions.guided_backpropagation(plain, IMAGES)

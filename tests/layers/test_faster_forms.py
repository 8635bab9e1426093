"""Faster forms of Keras's layers: registered names, files and portable copies."""

import keras
import numpy as np
import pytest

from kapps.layers import FastLayerNormalization, FusedDense, GroupedConv2D, to_keras_layers

FORMS = {
    FastLayerNormalization: (keras.layers.LayerNormalization, {"gamma_initializer": "uniform"}),
    FusedDense: (keras.layers.Dense, {"units": 4}),
    GroupedConv2D: (keras.layers.Conv2D, {"filters": 4, "kernel_size": 3, "groups": 2}),
}
MAPS = np.random.default_rng(0).normal(size=(2, 8, 7, 4)).astype("float32")


@pytest.fixture(params=FORMS, ids=lambda form: form.__qualname__)
def form(request):
    return request.param


def chain(layer_class, options):
    """Returns a model with a layer between two convolutions of Keras."""
    image = keras.Input((8, 7, 4), name="image")
    x = keras.layers.Conv2D(4, 1, name="first")(image)
    x = layer_class(name="layer", **options)(x)
    return keras.Model(image, keras.layers.Conv2D(2, 1, name="last")(x))


def outputs(model):
    return keras.ops.convert_to_numpy(model(MAPS))


def close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_the_layer_is_registered_under_its_own_name(form):
    assert keras.saving.get_registered_name(form) == f"kapps>{form.__qualname__}"


@pytest.mark.parametrize("source", [0, 1])
def test_weights_files_are_those_of_keras(form, source, tmp_path):
    original, options = FORMS[form]
    models = [chain(form, options), chain(original, options)]
    models[source].save_weights(tmp_path / "net.weights.h5")
    models[1 - source].load_weights(tmp_path / "net.weights.h5")
    close(outputs(models[0]), outputs(models[1]))


def test_a_file_loads_in_safe_mode(form, tmp_path):
    model = chain(form, FORMS[form][1])
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    assert type(loaded.get_layer("layer")) is form
    assert type(loaded.get_layer("last")) is keras.layers.Conv2D
    np.testing.assert_array_equal(outputs(loaded), outputs(model))


def test_portable_copies_have_the_layer_of_keras(form):
    original, options = FORMS[form]
    model = chain(form, options)
    portable = to_keras_layers(model)
    assert type(portable.get_layer("layer")) is original
    assert [layer.name for layer in portable.layers] == [layer.name for layer in model.layers]
    close(outputs(portable), outputs(model))
    first = portable.get_layer("layer").weights[0]
    first.assign(0 * first)
    assert np.abs(model.get_layer("layer").get_weights()[0]).max() > 0  # the weights are copied

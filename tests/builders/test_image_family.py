"""Family functions and builders of networks on images: arguments, errors, weights, heads."""

import inspect

import keras
import numpy as np
import pytest

import kapps
from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.resnet import basic_block
from kapps.families import resnet

SMALL = {"input_shape": (8, 8, 3)}


def message(kind, function, *args, **options):
    """Returns the message of the exception that a call raises; it has one line."""
    with pytest.raises(kind) as caught:
        function(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_family_function_builds_members_without_a_row():
    model = resnet(depths=(1, 1), block=basic_block, input_shape=(32, 32, 3), classes=5)
    assert model.name == "resnet" and model.output_shape == (None, 5)
    assert list(kapps.pyramid_outputs(model)) == [1, 2, 3]
    assert resnet.card is None and "block" in inspect.signature(resnet).parameters


def test_a_family_function_names_missing_and_unknown_options():
    assert "depths" in message(TypeError, resnet)
    assert "Did you mean groups" in message(TypeError, resnet, depths=(1,), group=2)


def test_a_builder_has_no_options_of_the_body():
    assert "'groups'" in message(TypeError, kapps.resnet18, groups=2)


def test_variant_rejects_an_unknown_option():
    text = message(TypeError, variant, resnet, "resnet9", paper="-", params=1, depth=(1,))
    assert "resnet9" in text and "Did you mean depths" in text


def test_a_family_function_has_the_familys_defaults():
    @image_family(minimum=4, input_shape=(6, 6, 2), classes=3)
    def body(x, *, filters=4):
        """One convolution."""
        return keras.layers.Conv2D(filters, 3, name="level0_conv")(x)

    model = body()
    assert (model.name, model.input_shape, model.output_shape) == (
        "test_image_family",
        (None, 6, 6, 2),
        (None, 3),
    )
    assert body(filters=5, include_top=False).output_shape == (None, 4, 4, 5)
    assert "at least 4" in message(ValueError, body, input_shape=(3, 6, 1))
    assert "One convolution." in body.__doc__


def test_input_tensor_and_a_different_input_shape():
    tensor = keras.Input((40, 40, 3))
    text = message(ValueError, kapps.resnet18, input_tensor=tensor, input_shape=(32, 32, 3))
    assert "(40, 40, 3)" in text and "(32, 32, 3)" in text
    assert kapps.resnet18(input_tensor=tensor, input_shape=(40, 40, 3)).input_shape[1] == 40


def test_positional_arguments_have_the_order_of_keras_applications():
    model = kapps.resnet20_cifar(False, None, None, (16, 8, 1), "max", 3, None, "features")
    assert (model.name, model.input_shape, model.output_shape) == (
        "features",
        (None, 16, 8, 1),
        (None, 64),
    )


def test_pooling_applies_with_the_classifier():
    model = kapps.resnet20_cifar(pooling="max", **SMALL)
    assert isinstance(model.get_layer("head_pool"), keras.layers.GlobalMaxPooling2D)
    average = kapps.resnet20_cifar(**SMALL)
    assert isinstance(average.get_layer("head_pool"), keras.layers.GlobalAveragePooling2D)


def test_weights_are_loaded_from_a_file(tmp_path, randomise, digits):
    path = tmp_path / "small.weights.h5"
    model = randomise(kapps.resnet20_cifar(**SMALL))
    model.save_weights(path)
    for weights in (path, str(path)):
        loaded = kapps.resnet20_cifar(weights=weights, **SMALL)
        for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("portable", [False, True])
def test_weights_files_interchange_with_portable_models(portable, tmp_path, randomise):
    path = tmp_path / "grouped.weights.h5"
    small = {
        "depths": (1,),
        "groups": 32,
        "group_width": 4,
        "input_shape": (32, 32, 1),
        "classes": 3,
    }
    model = randomise(resnet(portable=portable, **small))
    model.save_weights(path)
    loaded = resnet(portable=not portable, weights=path, **small)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.long
def test_weights_of_another_shape(tmp_path, recwarn):
    path = tmp_path / "small.weights.h5"
    kapps.resnet20_cifar(**{**SMALL, "classes": 6}).save_weights(path)
    for options in ({}, {"classes": 7}, {"classes": 6, "input_shape": (8, 8, 2)}):
        text = message(ValueError, kapps.resnet20_cifar, weights=path, **{**SMALL, **options})
        assert str(path) in text and "does not hold this model's weights" in text
    assert "does not hold" in message(ValueError, kapps.resnet32_cifar, weights=path, **SMALL)
    assert not [warning for warning in recwarn if "Skipping" in str(warning.message)]


def test_weights_of_a_corrupt_file(tmp_path):
    path = tmp_path / "corrupt.weights.h5"
    path.write_bytes(b"not HDF5")
    assert str(path) in message(ValueError, kapps.resnet20_cifar, weights=path, **SMALL)
    absent = tmp_path / "absent.weights.h5"
    assert "there is no weights file" in message(
        ValueError, kapps.resnet20_cifar, weights=absent, **SMALL
    )


def test_channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        text = message(ValueError, kapps.resnet20_cifar)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert "channels_first" in text and "set_image_data_format('channels_last')" in text


def flatten_head(x, classes, activation):
    """A head on a flattened map."""
    return heads.classifier(heads.flatten(x, (2, 2)), classes, activation)


def inner_head(x, classes, activation, name):
    """An auxiliary head."""
    x = keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)
    return heads.classifier(x, classes, activation, logits=f"{name}_logits", predictions=name)


@image_family(
    minimum=4, input_shape=(8, 8, 3), any_size=False, head=flatten_head, auxiliary=inner_head
)
def body(x, *, filters=4):
    """Two convolutions."""
    inner = keras.layers.Conv2D(filters, 3, strides=2, padding="same", name="level1_conv")(x)
    x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", name="level2_conv")(inner)
    return x, [inner]


with_heads = body


def test_a_family_with_its_own_head():
    model = with_heads(classes=5)
    assert model.output_shape == (None, 5)
    assert model.get_layer("head_logits").kernel.shape == (2 * 2 * 4, 5)
    assert with_heads(include_top=False, input_shape=(None, None, 3)).output_shape[1:3] == (None, None)  # fmt: skip
    text = message(ValueError, with_heads, input_shape=(None, 8, 3))
    assert text.startswith("test_image_family") and "include_top=False" in text
    assert "does not pool" in message(ValueError, with_heads, pooling="avg")
    assert with_heads(include_top=False, pooling="avg").output_shape == (None, 4)


def test_auxiliary_heads():
    model = with_heads(classes=5, auxiliary=True)
    assert model.output_names == ["predictions", "auxiliary1"]
    assert [output.shape for output in model.outputs] == [(None, 5), (None, 5)]
    plain = with_heads(classes=5)
    assert not any(layer.name.startswith("auxiliary") for layer in plain.layers)
    assert "include_top=True" in message(ValueError, with_heads, auxiliary=True, include_top=False)
    assert "'auxiliary'" in message(TypeError, resnet, depths=(1,), auxiliary=True)
    assert "auxiliary:" in with_heads.__doc__ and "auxiliary" not in resnet.__doc__


def test_a_row_may_change_the_minimum_and_the_head():
    small = variant(
        resnet, "small", depths=(1,), block=basic_block, paper="-", params=1, minimum=50
    )
    assert small.card.minimum == 50 and kapps.card("resnet18").minimum == 32
    assert "at least 50" in message(ValueError, small, input_shape=(40, 40, 3))
    pixels = variant(
        resnet,
        "pixels",
        depths=(1,),
        block=basic_block,
        paper="-",
        params=1,
        head=heads.per_pixel_classifier,
    )
    assert "head_pixel_predictions" in [layer.name for layer in pixels().layers]


def test_the_signature_has_types():
    signature = inspect.signature(kapps.resnet18)
    assert signature.return_annotation == "keras.Model"
    assert signature.parameters["classes"].annotation == "int"
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


def test_a_family_function_is_called_body():
    def network(x):
        return x

    assert "'network'" in message(ValueError, image_family(minimum=1), network)

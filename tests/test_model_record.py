"""What networks on images record of themselves, where Keras keeps it, and networks that record nothing."""

import dataclasses
import pickle

import keras
import pytest

import kapps
from kapps import cards, preprocessing
from kapps.model_preprocessing import find_preprocessing
from kapps.model_record import (
    RANDOM,
    ModelRecord,
    exit_outputs,
    find_record,
    layer_at,
    main_output,
    parse_layer_name,
)
from kapps.preprocessing import NAMES, Preprocessing, from_text, get_preprocessing

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def model():
    """A small network of a builder."""
    return kapps.resnet20_cifar(input_shape=SHAPE)


@pytest.mark.parametrize("name", NAMES)
def test_text_holds_every_field(name):
    for value in (NAMES[name], dataclasses.replace(NAMES[name].at((7, 300)), crop=0.9)):
        assert from_text(value.to_text()) == value
        record = ModelRecord("resnet18", "torchvision_x", value, "left_")
        assert parse_layer_name(record.layer_name()) == record
    other = Preprocessing(scale=1e-5, mean=(-0.5,), std=(1 / 3,), crop=1 / 3)
    assert from_text(other.to_text()) == other


def test_other_layers_hold_no_record():
    for name in ("stem_conv", "stem_preprocessing", "stem_preprocessing__a__b__224x224__x"):
        assert parse_layer_name(name) is None


def loaded(model, path):
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras", safe_mode=True)


def nested(model):
    image = keras.Input(SHAPE)
    return keras.Model(image, model(keras.layers.RandomFlip()(image)))


COPIES = {
    "saved": loaded,
    "cloned": lambda model, _: keras.models.clone_model(model),
    "pickled": lambda model, _: pickle.loads(pickle.dumps(model)),
    "nested": lambda model, _: nested(model),
    "in a Sequential": lambda model, _: keras.Sequential([keras.Input(SHAPE), model]),
    "cut": lambda model, _: keras.Model(model.input, model.get_layer("head_pool").output),
    "in Keras's layers": lambda model, _: kapps.to_keras_layers(model),
    "without a head": lambda model, _: kapps.resnet20_cifar(include_top=False, input_shape=SHAPE),
    "on a tensor": lambda model, _: kapps.resnet20_cifar(input_tensor=keras.Input(SHAPE)),
    "with a name": lambda model, _: kapps.resnet20_cifar(input_shape=SHAPE, name="left"),
}


@pytest.mark.parametrize("copy", COPIES)
def test_copies_keep_the_record(model, copy, tmp_path):
    record = find_record(COPIES[copy](model, tmp_path))
    assert (record.builder, record.weights) == ("resnet20_cifar", RANDOM)
    assert record.preprocessing == preprocessing.CIFAR10
    card = cards.card(COPIES[copy](model, tmp_path))
    assert card == cards.card("resnet20_cifar")


def network(*first, name="resnet50"):
    """Returns a network of Keras with the name of a builder."""
    last = [keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input(SHAPE), *first, *last], name=name)


def operations(scale):
    """Returns a functional network that begins with x / 127.5 - 1, or x * scale."""
    image = keras.Input(SHAPE)
    x = image / 127.5 - 1 if scale is None else image * scale
    return keras.Model(image, keras.layers.Conv2D(2, 3)(x))


def caffe():
    image = keras.Input(SHAPE)
    x = keras.applications.resnet50.preprocess_input(image)
    return keras.Model(image, keras.layers.Conv2D(2, 3)(x))


NORMALISED = {
    "rescaling": lambda: network(keras.layers.Rescaling(1 / 255)),
    "normalization": lambda: network(keras.layers.Normalization(mean=[120.0], variance=[4000.0])),
    "nested": lambda: network(keras.Sequential([keras.layers.Rescaling(1 / 127.5, -1)])),
    "after augmentation": lambda: network(keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255)),
    "operations": lambda: operations(None),
    "preprocess_input": caffe,
}  # fmt: skip
UNKNOWN = {
    "nothing": network,
    "of pixels from 0 to 1": lambda: network(keras.layers.Rescaling(2.0, -1.0)),
    "normalization of 0 to 1": lambda: network(
        keras.layers.Normalization(mean=[0.45], variance=[0.05])
    ),
    "after a convolution": lambda: network(
        keras.layers.Conv2D(3, 1), keras.layers.Rescaling(1 / 255)
    ),
    "another operation": lambda: operations(2.0),
}


@pytest.mark.parametrize("make", NORMALISED)
def test_a_network_with_its_own_normalisation_takes_pixels(make):
    result, origin = find_preprocessing(NORMALISED[make]())
    assert result.normalisation == preprocessing.PIXELS.normalisation and result.size == SHAPE[:2]
    assert "own layer" in origin


@pytest.mark.parametrize("make", UNKNOWN)
def test_an_unknown_preprocessing_is_an_error(make):
    model = UNKNOWN[make]()
    with pytest.raises(ValueError) as error:
        find_preprocessing(model)
    message = str(error.value)
    assert "\n" not in message and all(name in message for name in NAMES)
    with pytest.raises(ValueError, match="record"):
        cards.card(model)
    assert find_preprocessing(model, "caffe")[0] is preprocessing.CAFFE
    assert find_preprocessing(model, "efficientnet_b1")[0].size == (240, 240)


def test_a_passed_preprocessing_has_priority(model):
    result, origin = find_preprocessing(model, "tf")
    assert result is preprocessing.INCEPTION and "instead of cifar10" in origin
    with pytest.raises(ValueError, match="imagenet"):
        find_preprocessing(model, "imagnet")


def test_two_networks_in_one_model():
    image = keras.Input(SHAPE)
    parts = [
        builder(input_tensor=image, include_top=False, pooling="avg", name=name)
        for builder, name in ((kapps.resnet20_cifar, "left"), (kapps.lenet5, "right"))[:1]
    ]
    parts.append(kapps.resnet20_cifar(input_tensor=image, include_top=False, pooling="avg"))
    model = keras.Model(image, keras.layers.Concatenate()([part.output for part in parts]))
    assert model.output_shape == (None, 128)
    assert find_preprocessing(model)[0] == preprocessing.CIFAR10
    other = kapps.families.resnet(
        depths=(1,), input_tensor=keras.Input((32, 32, 3)), include_top=False, name="other"
    )
    image = keras.Input((32, 32, 3))
    outputs = [
        keras.layers.GlobalAveragePooling2D()(part(image))
        for part in (other, kapps.resnet20_cifar(include_top=False))
    ]
    with pytest.raises(ValueError, match="different preprocessing"):
        find_preprocessing(keras.Model(image, keras.layers.Concatenate()(outputs)))


def test_get_preprocessing_names_the_nearest():
    assert get_preprocessing("torch") is preprocessing.IMAGENET
    with pytest.raises(ValueError, match="Did you mean imagenet"):
        get_preprocessing("imagnet")


@pytest.mark.parametrize(
    "values",
    [{"size": (0, 8)}, {"crop": 0}, {"crop": 1.5}, {"scale": 0}, {"std": (0.0,) * 3}, {"mean": (1.0,)},
     {"interpolation": "lanczos"}, {"size": 3}, {"blue_first": 1}],
)  # fmt: skip
def test_wrong_preprocessing_is_one_line(values):
    with pytest.raises(ValueError) as error:
        Preprocessing(**values)
    assert next(iter(values)) in str(error.value) and "\n" not in str(error.value)


def test_predictions_among_several_outputs():
    exits = ["exit1_predictions", "exit2_predictions", "predictions"]
    cases = [
        (exits, 2, [0, 1, 2]),
        ([f"left_{name}" for name in exits], 2, [0, 1, 2]),
        (["predictions", "auxiliary1"], 0, []),
        (["auxiliary1", "predictions"], 1, []),
        (["left_predictions", "right_predictions"], 0, []),
        (["logits"], 0, []),
    ]
    for names, main, indices in cases:
        assert (main_output(names), exit_outputs(names)) == (main, indices), names
    image = keras.Input((4,))
    outputs = [keras.layers.Dense(2, name=f"left_{name}")(image) for name in exits]
    assert layer_at(keras.Model(image, outputs), "predictions").name == "left_predictions"

"""Networks for phones with the weights of Keras Applications and of PyTorch's libraries: each with its own padding."""

import importlib

import graphs
import keras
import numpy as np
import pytest
from members import assert_close
from safetensors.numpy import save_file

import kapps
from kapps import cards
from kapps.cnn.mobilenet_v3 import TABLE_2
from kapps.cnn.resnet import basic_block
from kapps.weights import from_keras, from_torch, keras_applications, to_keras, to_torch
from kapps.weights.names import (
    efficientnet,
    efficientnet_v2,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
)

SHAPE = (32, 32, 3)
LOGITS = {"classifier_activation": None}


def member(family, name):
    """Returns the function of Keras Applications and its options for a builder."""
    other, options = importlib.import_module(f"kapps.weights.names.{family}").KERAS[name]
    return getattr(keras.applications, other), {"weights": None, **options, **LOGITS}


def with_same_padding(network):
    """Returns a copy of MobileNet whose strided layers have TensorFlow's SAME padding, as the authors' slim network.

    Keras Applications pads strided depthwise convolutions on the right and bottom, at odd sizes too.
    """

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            config["padding"] = 0
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            config["padding"] = "same"
        return type(layer).from_config(config)

    result = keras.models.clone_model(network, clone_function=copy)
    result.set_weights(network.get_weights())
    return result


def run(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


# KA: Keras Applications. The maps of MobileNet before its strided layers are even at 127 pixels too.
CASES = [
    ("mobilenet_v3", "mobilenet_v3_small_035", (32, 33), ()),
    ("mobilenet_v3", "mobilenet_v3_large_minimalistic", (32, 33), ()),
    ("efficientnet_v2", "efficientnet_v2_b0", (64, 75), ()),
    ("mobilenet_v1", "mobilenet_v1_025", (96, 127), (33,)),
    ("mobilenet_v2", "mobilenet_v2_035", (96, 97, 33), ()),
    ("mobilenet_v3", "mobilenet_v3_small", (96, 97), ()),
]
WIDTHS = [
    (names.__name__.rpartition(".")[2], name)
    for names in (mobilenet_v1, mobilenet_v2, mobilenet_v3, efficientnet_v2)
    for name in names.KERAS
    if cards.card(name).params < 25e6
]
"""The networks of every width but the largest, which have the same kinds of layers."""


@pytest.mark.long
@pytest.mark.parametrize("family, name, sizes, odd", CASES)
def test_logits_equal_keras_applications(family, name, sizes, odd, randomise):
    names = importlib.import_module(f"kapps.weights.names.{family}")
    function, options = member(family, name)
    state = None
    for size in sizes + odd:
        shape = (size, size, 3)
        theirs = function(input_shape=shape, **options)
        state = state or keras_applications.named_arrays(randomise(theirs))
        for layer, values in state.items():
            keras_applications.named_layers(theirs)[layer].set_weights(values)
        theirs = with_same_padding(theirs) if size in odd else theirs
        ours = getattr(kapps, name)(input_shape=shape, **LOGITS)
        from_keras(ours, state, names.keras)
        images = np.random.default_rng(size).normal(size=(2, *shape)).astype("float32")
        expected = run(theirs, images)
        assert_close(run(ours, images), expected, within=1e-4)
        assert np.abs(expected[0] - expected[1]).max() > 1e-2 * np.abs(expected).max()
    back = to_keras(randomise(ours), names.keras, state)
    for layer, values in back.items():
        keras_applications.named_layers(theirs)[layer].set_weights(values)
    assert_close(run(theirs, images), run(ours, images), within=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("family, name", WIDTHS)
def test_weights_of_every_width_fit_those_of_keras_applications(family, name, unweighted):
    """Ones in place of all weights of the other network become ones in place of all weights."""
    function, options = member(family, name)
    theirs = graphs.build(function, input_shape=(96, 96, 3), **options)
    state = {
        layer: [np.ones(variable.shape, "float32") for variable in other.weights]
        for layer, other in keras_applications.named_layers(theirs).items()
    }
    ours = getattr(kapps, name)(input_shape=(96, 96, 3), **LOGITS)
    from_keras(ours, state, importlib.import_module(f"kapps.weights.names.{family}").keras)
    assert all(np.all(keras.ops.convert_to_numpy(weight) == 1) for weight in ours.weights)


@pytest.mark.long
@pytest.mark.parametrize(
    "name, top",
    [("mobilenet_v1_025", True), ("mobilenet_v1_025", False), ("mobilenet_v2_035", True)],
)
@pytest.mark.filterwarnings("ignore")
def test_file_of_keras_applications(name, top, tmp_path, randomise):
    function, options = member(cards.card(name).family, name)
    theirs = randomise(function(input_shape=SHAPE, include_top=top, **options))
    path = tmp_path / "model.h5"
    theirs.save(path)
    ours = getattr(kapps, name)(weights=path, input_shape=SHAPE, include_top=top, **LOGITS)
    images = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
    assert_close(run(ours, images), run(theirs, images), within=1e-4)
    with pytest.raises(ValueError, match=r"padding='symmetric'.*padding='same'"):
        getattr(kapps, name)(weights=path, input_shape=SHAPE, include_top=top, padding="symmetric")


def saved_state(model, names, path):
    """Saves a model's weights as a state dict of another library."""
    state = {key: np.ascontiguousarray(value) for key, value in to_torch(model, names).items()}
    save_file(state, path)
    return path


SMALL = {
    "mobilenet_v1": {"width_multiplier": 0.25},
    "mobilenet_v2": {"width_multiplier": 0.25},
    "mobilenet_v3": {"blocks": TABLE_2[:1] + TABLE_2[3:5]},
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.5},
    "resnet": {"depths": (1, 1, 1, 1), "block": basic_block},
}
"""Options of small members of the families."""
TORCH = [
    # names, name of the file, padding of the network that it is for
    (mobilenet_v1.timm, "mobilenetv1_025.safetensors", "symmetric"),
    (mobilenet_v2.torchvision, "mobilenet_v2.safetensors", "symmetric"),
    (mobilenet_v2.timm, "model.safetensors", "symmetric"),
    (mobilenet_v2.timm, "tf_mobilenetv2_025.safetensors", "same"),
    (mobilenet_v3.torchvision, "mobilenet_v3_small.safetensors", "symmetric"),
    (mobilenet_v3.timm, "tf_mobilenetv3_small_100.safetensors", "same"),
    (efficientnet.timm, "tf_efficientnet_b0.safetensors", "same"),
    (efficientnet.timm, "efficientnet_b0.safetensors", "symmetric"),
    (resnet.torchvision, "model.safetensors", "symmetric"),
]


def small(names, **options):
    """Builds a small member of the family of a function with names."""
    family = names.__module__.rpartition(".")[2]
    return getattr(kapps.families, family)(input_shape=SHAPE, **SMALL[family], **options)


FIRST, OTHERS = TORCH[:4:3], TORCH[1:3] + TORCH[4:]
"""One file of each padding, and the others."""


@pytest.mark.parametrize(
    "names, file, padding", [*FIRST, *(pytest.param(*case, marks=pytest.mark.long) for case in OTHERS)]
)  # fmt: skip
def test_the_weights_choose_the_padding(names, file, padding, tmp_path, randomise):
    model = randomise(small(names, padding=padding, **LOGITS))
    path = saved_state(model, names, tmp_path / file)
    images = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
    assert_close(run(small(names, weights=path, **LOGITS), images), run(model, images))
    other = "same" if padding == "symmetric" else "symmetric"
    with pytest.raises(ValueError) as raised:
        small(names, weights=path, padding=other)
    message = str(raised.value)
    assert "\n" not in message and str(path) in message
    assert f"padding={other!r}" in message and f"padding={padding!r}" in message


@pytest.mark.long
def test_file_that_does_not_tell_its_padding(tmp_path):
    """timm's networks of both paddings have the same names: the user says which one it is."""
    for padding in ("same", "symmetric"):
        model = small(efficientnet.timm, padding=padding)
        path = saved_state(model, efficientnet.timm, tmp_path / "model.safetensors")
        loaded = small(efficientnet.timm, weights=path, padding=padding)
        layers = [x["class_name"] for x in loaded.get_config()["layers"]]
        assert layers == [x["class_name"] for x in model.get_config()["layers"]]


@pytest.mark.long
@pytest.mark.parametrize(
    "padding, suffix, portable",
    [
        ("same", ".weights.h5", False),
        ("symmetric", ".weights.h5", True),
        ("same", ".keras", True),
        ("symmetric", ".keras", False),
    ],
)
def test_kapps_files_choose_the_padding(padding, suffix, portable, tmp_path, randomise):
    builder = kapps.mobilenet_v1_025
    model = randomise(builder(input_shape=SHAPE, padding=padding, portable=portable, **LOGITS))
    path = tmp_path / f"model{suffix}"
    model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    images = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")
    loaded = builder(weights=path, input_shape=SHAPE, **LOGITS)
    assert_close(run(loaded, images), run(model, images))
    other = "same" if padding == "symmetric" else "symmetric"
    with pytest.raises(ValueError, match=rf"padding='{other}'.*padding='{padding}'"):
        builder(weights=path, input_shape=SHAPE, padding=other)


def test_from_torch_and_from_keras_compare_the_padding():
    model = kapps.mobilenet_v2_035(input_shape=SHAPE)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"padding='symmetric'"):
        from_torch(model, to_torch(model, mobilenet_v2.torchvision), mobilenet_v2.torchvision)
    from_torch(model, to_torch(model, mobilenet_v2.timm), mobilenet_v2.timm, padding="same")
    other = kapps.mobilenet_v2_035(input_shape=SHAPE, padding="symmetric")
    with pytest.raises(ValueError, match=r"padding='same'"):
        from_keras(other, {}, mobilenet_v2.keras)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_cards_of_weights_have_their_padding():
    assert cards.card("mobilenet_v2").padding == "same"
    assert cards.card("mobilenet_v2", weights="imagenet").padding == "symmetric"
    assert cards.card("efficientnet_b0", weights="imagenet").padding == "same"
    assert cards.card("xception", weights="imagenet").padding == "same"
    assert cards.card("resnet50", weights="imagenet").padding == "symmetric"
    assert cards.card("inception_v3", weights="imagenet").padding == "valid"

"""The option `padding` of every family on images, and the padding on its card."""

import covering
import graphs
import keras
import members
import numpy as np
import pytest

import kapps
from kapps import cards
from kapps.layers import conv, max_pool, strided_padding
from kapps.layers.padding import PADDINGS

QUICK = set(covering.names("image")) - {"enas_micro15", "randwire_er_c78", "snas_aggressive_cifar"}
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.long)
    for name in cards.smallest(by="module")
]
"""The smallest network of each family; by default those of the covering set that are quick to build."""
AUTHORS = {
    "same": {
        "amoebanet", "efficientnet", "efficientnet_lite", "efficientnet_v2", "enas", "mnasnet", "mobilenet_v1",
        "mobilenet_v2", "mobilenet_v3", "nasnet", "pnasnet", "xception",
    },
    "valid": {
        "alexnet_single", "as_resnet_cifar", "convnext", "densenet_cifar", "enas_macro", "inception_resnet",
        "inception_v3", "inception_v4", "lenet", "macnn", "nin", "polynet", "quadratic_attention", "shift_resnet",
        "vgg", "xnor_lenet",
    },
}  # fmt: skip
"""Families by the padding in their authors' code; all others pad on every side."""
PIXELS = {"as_resnet_cifar", "enas_macro", "shift_resnet"}
"""Families whose windows with strides are single pixels."""


def strided(model):
    """Returns the layers with windows of more than one pixel and strides."""
    return [
        layer
        for layer in model.layers
        if max(getattr(layer, "strides", (1,))) > 1
        and max(getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", (1,))) > 1
    ]


def test_cards_have_the_padding_of_the_authors():
    for name in cards.list_models():
        card = cards.card(name)
        expected = [padding for padding, families in AUTHORS.items() if card.family in families]
        assert card.padding == (None if card.kind != "image" else (expected or ["symmetric"])[0]), (
            name
        )
        if card.kind == "image":
            assert ("padding" in str(graphs.builder(name).__signature__)) == (
                card.padding != "valid"
            )


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_only_the_layers_with_strides(name):
    card, builder = cards.card(name), graphs.builder(name)
    if (
        "depths" in builder.builder.row and card.family != "squeezenet"
    ):  # a block a level has all strided layers
        depths = tuple(1 for _ in builder.builder.row["depths"])
        builder = members.with_options(builder, {"depths": depths})
    if "n" in builder.builder.row:
        builder = members.with_options(builder, {"n": 1})
    if "depth" in builder.builder.row and "genotype" in builder.builder.options():
        builder = members.with_options(builder, {"depth": 3})  # both kinds of cells
    options = {"input_shape": (card.minimum + 13,) * 2 + (3,), "include_top": False}
    default = graphs.build(builder, **options)
    if card.padding == "valid":
        assert bool(strided(default)) is not (card.family in PIXELS)
        assert all(layer.padding == "valid" for layer in strided(default))
        assert not [
            x for x in strided(default) if f"{x.name}_pad" in {y.name for y in default.layers}
        ]
        with pytest.raises(TypeError, match="padding"):
            builder(padding="same", **options)
        return
    models = {padding: graphs.build(builder, padding=padding, **options) for padding in PADDINGS}
    assert default.get_config()["layers"] == models[card.padding].get_config()["layers"]
    symmetric, same = ([x.name for x in models[key].layers] for key in PADDINGS)
    added = set(symmetric) - set(same)
    assert added and all(x.endswith("_pad") for x in added) and set(same) < set(symmetric)
    padded = {x.name for x in models["same"].layers if f"{x.name}_pad" in added}
    assert all(models["same"].get_layer(x).padding == "same" for x in padded)
    assert all(x.padding == "valid" for x in strided(models["same"]) if x.padding != "same")
    shapes = [{x.path: tuple(x.shape) for x in models[key].weights} for key in PADDINGS]
    assert shapes[0] == shapes[1]
    assert list(kapps.pyramid_outputs(models["same"])) == list(
        kapps.pyramid_outputs(models["symmetric"])
    )


def test_padding_that_is_not_allowed_raises():
    with pytest.raises(ValueError, match=r"padding='sam'.*Did you mean same"):
        kapps.mobilenet_v1_025(padding="sam")


@pytest.mark.parametrize("size", [6, 7])
def test_max_pooling_of_negative_features(size):
    """No pixel of the padding is a maximum."""
    image = keras.Input((size, size, 1))
    x = np.random.default_rng(size).uniform(-2, -1, size=(2, size, size, 1)).astype("float32")
    outputs = {}
    for padding in PADDINGS:
        with strided_padding(padding):
            model = keras.Model(image, max_pool(image, negative=True, name="pool"))
        outputs[padding] = keras.ops.convert_to_numpy(model(x))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    np.testing.assert_array_equal(outputs["symmetric"], windows.max(axis=(-1, -2))[:, ::2, ::2])
    first = 1 if size % 2 == 0 else 0
    np.testing.assert_array_equal(
        outputs["same"], windows.max(axis=(-1, -2))[:, first::2, first::2]
    )


@pytest.mark.parametrize(
    "padding, same", [(None, True), (1, True), ((0, 1), True), ("valid", False)]
)
def test_same_applies_to_every_padded_layer_with_strides(padding, same):
    image = keras.Input((8, 8, 3))
    with strided_padding("same"):
        x = conv(image, 4, 3, strides=2, padding=padding, name="conv")
        x = conv(x, 4, 3, padding=padding, name="unit")
        x = conv(x, 4, 1, strides=2, name="point")
    model = keras.Model(image, x)
    assert model.get_layer("conv").padding == ("same" if same else "valid")
    assert model.get_layer("unit").padding == ("same" if padding is None else "valid")
    assert model.get_layer("point").padding == "valid"
    assert "conv_pad" not in {layer.name for layer in model.layers}

"""Names, numbers, levels, signature and errors of every builder, from its graph. No model is initialised or run."""

import inspect
import json
import math
import re

import covering
import graphs
import keras
import members
import pytest

from kapps import cards
from kapps.builders import pyramid_outputs

PLACE = re.compile(r"(stem|level\d+|exit\d+|head)_[a-z0-9_]+|predictions")
"""The names of layers of networks on images: where the layer stands, then what it is."""
NUMBERED = re.compile(r"([a-z]+)(\d+)(?=_|$)")
"""The first part of a name of a network on sequences: `layer1`, `encoder2_attention`, `decoder1_state0`."""
INPUTS = {"image": ["image"], "sequence": ["sequence"], "tokens": ["tokens"], "frames": ["frames"]}
"""The names of the inputs by the card's kind; a network with two reads a source and a target."""
ONE_LEVEL = {"quadratic_attention"}
"""Families of networks on images whose resolution is the same from the first layer on."""


@pytest.fixture(scope="module")
def graph(graph_name):
    """The builder's graph."""
    return graphs.graph(graph_name)


@pytest.fixture(scope="module")
def layers(graph):
    """The model's layers after the inputs."""
    return [x for x in graph.model.layers if not isinstance(x, keras.layers.InputLayer)]


def test_parameters_and_multiply_accumulates_are_the_references(graph, reference):
    expected, model = reference[graph.card.name], graph.model
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    total = sum(math.prod(variable.shape) for variable in model.weights)
    assert (trainable, total) == (expected["trainable"], expected["total"])
    assert (graph.profile.trainable, graph.profile.parameters) == (trainable, total)
    assert graph.card.params == trainable
    if graph.card.kind == "image":
        assert graph.profile.macs == expected["macs"]
    assert graph.card.macs in (None, expected["macs"])


def test_shapes_and_inputs_are_the_cards(graph):
    card, model = graph.card, graph.model
    assert model.name == card.name
    of_target = graph.builder.builder.defaults.get("target_shape") or card.input_shape
    shapes = [card.input_shape, *[of_target] * (len(model.inputs) - 1)]
    assert [x.shape[1:] for x in model.inputs] == [tuple(shape) for shape in shapes]
    names = [x.name for x in model.inputs]
    assert names == (INPUTS[card.kind] if len(names) == 1 else ["source", "target"])
    if card.classes or card.vocabulary:
        assert graph.predictions.shape[-1] == (card.classes or card.vocabulary)
    if card.kind == "image":
        assert {x.shape for x in model.outputs} == {(None, card.classes)}
    assert {x.dtype for x in model.outputs} == {"float32"}
    exits = [f"exit{i}_predictions" for i in range(1, len(model.outputs))]
    assert [graphs.layer_of(x).name for x in model.outputs] == [*exits, "predictions"]


def rank(name):
    """Returns a number for the place in a layer's name, which does not fall from one layer to the next."""
    place = name.partition("_")[0]
    order = {"stem": 0, "head": 100, "predictions": 101}
    if place.startswith("exit"):
        return 99
    return order[place] if place in order else int(place.removeprefix("level"))


def test_layers_are_named_by_their_place(graph, layers):
    names = [layer.name for layer in layers]
    if graph.card.kind != "image":
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
        numbers = {}
        for match in filter(None, map(NUMBERED.match, names)):
            numbers.setdefault(match[1], set()).add(int(match[2]))
        for prefix, values in numbers.items():
            assert values == set(range(1, len(values) + 1)), f"{prefix}: {values}"
        return
    assert not [name for name in names if not PLACE.fullmatch(name)]
    ranks = {name: rank(name) for name in names}
    for layer in layers:
        for x in keras.tree.flatten(layer.input):
            source = graphs.layer_of(x).name
            assert ranks.get(source, 0) <= ranks[layer.name], f"{layer.name} reads {source}"
    blocks = {}
    for layer in layers:
        if match := re.match(r"(level\d+)_block(\d+)_", layer.name):
            strides = max(getattr(layer, "strides", (1,)))
            block = blocks.setdefault(match[1], {})
            block[int(match[2])] = max(strides, block.get(int(match[2]), 1))
    for level, strides in blocks.items():
        # Block 0 reduces the resolution, or is an Inception module that the paper does not count.
        first = 0 if strides.get(0, 1) > 1 or f"{level}_block0_concat" in names else 1
        assert list(strides) == list(range(first, first + len(strides))), (
            f"{level}: {list(strides)}"
        )


def test_levels_halve_the_resolution(graph):
    if graph.card.kind != "image":
        return  # networks on sequences have no levels
    model, card = graph.model, graph.card
    levels = pyramid_outputs(model)
    assert list(levels) == list(range(min(levels), max(levels) + 1))
    assert len(levels) > 1 or card.family in ONE_LEVEL
    for level, features in levels.items():
        fields = graph.profile.row(graphs.layer_of(features).name).receptive_field
        assert len(fields) == 2
        for pixels, side, field in zip(card.input_shape, features.shape[1:3], fields, strict=False):
            assert field.stride == 2**level
            if field.size >= pixels:  # squeeze and excitation: each unit depends on all pixels
                continue
            # What the units see together lies in the middle of the image: padding is on both sides or on none.
            before, after = (
                -field.offset,
                field.offset + (side - 1) * field.stride + field.size - pixels,
            )
            assert abs(before - after) < 2 * field.stride, (level, before, after)
            assert side <= math.ceil(pixels / 2**level)


def test_layers_are_keras_own_or_registered(graph, layers):
    assert type(graph.model).__module__.startswith("keras.")
    for layer in layers:
        kind = type(layer)
        assert not isinstance(layer, (keras.layers.Lambda, keras.Model)), layer.name
        if not kind.__module__.startswith("keras."):
            assert keras.saving.get_registered_name(kind) == f"kapps>{kind.__qualname__}"
            assert keras.saving.get_registered_object(f"kapps>{kind.__qualname__}") is kind
    if graph.card.name not in cards.smallest():
        return  # the members of a family have the same kinds of values in their configurations
    config = graph.model.get_config()
    assert json.loads(json.dumps(keras.saving.serialize_keras_object(config)))


def test_deep_networks_are_listed(graph):
    name, layers = graph.card.name, len(graph.model.layers)
    deep = layers > graphs.DEEP_LAYERS and name not in cards.smallest()
    assert deep == (name in graphs.DEEP), f"{name} has {layers} layers: see deep_graphs.txt"


def test_features_are_covered_by_the_conformance_suites(graph):
    missing = members.features(graph.builder, graph.model) - covering.covered()
    assert not missing, f"not in the covering set: {missing}; run python tests/covering.py"


def test_signature_and_docstring(graph):
    card, builder = graph.card, graph.builder
    parameters = inspect.signature(builder).parameters
    expected = list(inspect.signature(keras.applications.ResNet50).parameters)
    if card.kind != "image":
        expected = [name for name in expected if name in parameters]
        assert {"weights", "input_tensor", "input_shape", "name"} <= set(parameters)
    assert list(parameters)[: len(expected)] == expected
    assert parameters["name"].default == card.name and parameters["weights"].default is None
    if "classes" in parameters:
        assert parameters["classes"].default == card.classes
    assert f"{card.params:,}" in builder.__doc__ and card.paper in builder.__doc__
    assert builder.__name__ == card.name and cards.card(builder) == card


def error(kind, builder, **options):
    """Returns the message of the error that a builder raises; it is one line that names the builder."""
    with pytest.raises(kind) as raised:
        builder(**options)
    message = str(raised.value)
    assert "\n" not in message and message.startswith(builder.__name__)
    return message


def test_unknown_options_raise_and_name_the_nearest(graph):
    for option, nearest in [("clases", "classes"), ("input_shap", "input_shape"), ("nam", "name")]:
        if nearest in inspect.signature(graph.builder).parameters:
            message = error(TypeError, graph.builder, **{option: 10})
            assert option in message and f"Did you mean {nearest}" in message


def test_values_that_are_not_allowed_raise(graph):
    card, builder = graph.card, graph.builder
    parameters = inspect.signature(builder).parameters
    cases = [({"weights": "imagnet"}, "imagnet"), ({"input_shape": (7,) * 5}, "input_shape")]
    if "classes" in parameters:
        cases += [({"classes": 0}, "classes"), ({"include_top": False, "pooling": "mean"}, "mean")]
    if card.kind == "image":
        cases += [
            ({"input_shape": (64, 64)}, "(64, 64)"),
            ({"input_shape": (64, 64, None)}, "(64, 64, None)"),
            ({"input_tensor": 1.0}, "input_tensor"),
            ({"input_shape": (card.minimum - 1, card.minimum, 3)}, f"at least {card.minimum}"),
            ({"input_shape": (card.minimum, card.minimum - 1, 3)}, f"at least {card.minimum}"),
        ]
        if not card.any_size:
            cases += [({"input_shape": (None, None, 3)}, "include_top")]
    for options, words in cases:
        assert words in error(ValueError, builder, **options), options

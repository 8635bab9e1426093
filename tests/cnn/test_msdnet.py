"""MSDNet: logits and costs of the authors' code at every exit, scales and transitions, and networks up to an exit."""

import functools
import math

import fingerprints
import graphs
import keras
import members
import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps.analysis import exit_costs
from kapps.weights import from_torch, to_torch
from kapps.weights.names.msdnet import kalviny
from kapps.weights.names.msdnet_cifar import pytorchcv

TWO_SCALES = {"depths": (1, 1, 1), "factors": (1, 2), "filters": 4, "input_shape": (8, 8, 3)}
TINY = {"depths": (1, 2, 2), "growth_rate": 2, "filters": 4, "input_shape": (16, 16, 3)}
# fmt: off
COSTS = (
    14_955_776, 25_235_968, 37_433_088, 51_621_888, 61_687_040, 73_521_664, 87_125_760, 99_391_488, 109_444_352,
    120_971_776,
)
"""Multiply-accumulates until each exit of `msdnet_anytime10_cifar`, by github.com/kalviny/MSDNet-PyTorch f654595."""
FINGERPRINTS = {
    # builder: tensors, {exit: (first four logits, last logit, norm of all)}
    "msdnet_budget5_cifar": (560, {
        0: ((-0.465353469, 1.20060367, 0.340809044, 1.00090514), 0.424063837, 3.52619823),
        1: ((1.34313974, 1.17909985, -0.174491114, 0.629935111), 0.678697891, 3.81238317),
        2: ((-1.45025228, -0.0658231121, -0.237523566, 0.4465148), -0.826239272, 4.62166943),
        3: ((1.50010263, -1.70885183, 0.750397821, -2.50575657), -1.38886331, 6.81671482),
        4: ((0.808853023, 0.328891623, -1.95980305, -1.06258854), -0.577615292, 5.91150841),
    }),
    "msdnet_step4_base4": (941, {
        0: ((1.09170981, 0.859121354, 1.94425758, -0.320319788), -3.68345384, 79.9792479),
        1: ((1.07951299, -1.68791588, 1.99026168, 3.19792402), 0.659396841, 84.5023251),
        2: ((2.13557417, 0.305165925, 2.49979704, 0.221904317), 2.2081255, 83.45692),
        3: ((1.86566905, -2.16008839, 1.71465883, -1.73767885), -2.32476415, 84.6393652),
        4: ((-1.12644858, -1.91382175, 1.78625973, 4.53352833), -0.49402689, 81.7244546),
    }),
}
"""Logits of that code with the tensors of `fingerprints.py`, at 32x32 and 224x224 pixels."""
# fmt: on


def exit_logits(name):
    """Returns the logits of all exits with sampled tensors, and the number of tensors.

    The classifiers of kapps compute in float32 under any policy, so their products are computed here.
    """
    card = kapps.card(name)
    with fingerprints.float64():
        model = graphs.builder(name)()
        shapes = {key: array.shape for key, array in to_torch(model, kalviny).items()}
        tensors = fingerprints.sampled_tensors(shapes)
        from_torch(model, tensors, kalviny, card.classes)
        exits = len(model.outputs)
        pools = [*(f"exit{i}_pool" for i in range(1, exits)), "head_pool"]
        features = keras.Model(model.input, [model.get_layer(pool).output for pool in pools])(
            fingerprints.images(2, *card.input_shape[:2]), training=False
        )
    linear = [
        [tensors[f"classifier.{i}.linear.{kind}"] for kind in ("weight", "bias")]
        for i in range(exits)
    ]
    return [
        keras.ops.convert_to_numpy(x) @ weight.T + bias
        for x, (weight, bias) in zip(features, linear, strict=True)
    ], len(tensors)


@pytest.mark.long
@pytest.mark.parametrize("name", FINGERPRINTS)
def test_logits_of_every_exit_equal_those_of_the_authors_code(name):
    tensors, exits = FINGERPRINTS[name]
    logits, count = exit_logits(name)
    assert count == tensors
    for number, fingerprint in exits.items():
        fingerprints.assert_fingerprint(logits[number], *fingerprint)


@pytest.mark.peers
def test_logits_of_every_exit_equal_pytorchcv(operations):
    import torch
    from pytorchcv.model_provider import get_model

    torch.manual_seed(0)
    peer = get_model("msdnet22_cifar10").eval()
    for norm in (x for x in peer.modules() if isinstance(x, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.running_var, 0.7, 1.4)
        torch.nn.init.normal_(norm.running_mean, 0, 0.1)
    model = kapps.msdnet_anytime10_cifar(classifier_activation=None)
    state = {key: x.numpy() for key, x in peer.state_dict().items()}
    from_torch(model, state, pytorchcv, 10)
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    with torch.no_grad():
        inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        expected = [x.numpy() for x in peer(inputs, only_last=False)]
    for x, y in zip(model(images, training=False), expected, strict=True):
        members.assert_close(keras.ops.convert_to_numpy(x), y, within=1e-4)


@pytest.mark.long
def test_costs_until_each_exit_are_those_of_the_authors_code():
    network = graphs.graph("msdnet_anytime10_cifar")
    assert exit_costs(network.model, lazy=False) == COSTS
    last = keras.Model(network.model.input, network.model.outputs[-1])
    assert kapps.profile(last).macs == 78_935_296


@pytest.mark.long
def test_one_hundred_classes_and_a_stem_without_biases():
    """The command for CIFAR-100 of the authors' PyTorch code, and the stem of their Lua code."""
    network = graphs.graph("msdnet_budget5_cifar", classes=100)
    assert (network.profile.trainable, network.profile.macs) == (2_078_924, 58_087_936)
    options = {"depths": (1, 1), "input_shape": (64, 64, 3)}
    parameters = [
        sum(
            math.prod(x.shape)
            for x in graphs.build(
                kapps.families.msdnet, **options, stem_bias=bias
            ).trainable_variables
        )
        for bias in (True, False)
    ]
    assert parameters[0] - parameters[1] == 32


def widths(model, part):
    """Returns {level: channels} of the outputs of a part of a block."""
    suffix = f"_{part}"
    return {
        int(layer.name[5]): layer.output.shape[-1]
        for layer in model.layers
        if layer.name.startswith("level") and layer.name.endswith(suffix)
    }


def test_scales_are_dropped_and_channels_halved():
    model = graphs.build(kapps.families.msdnet_cifar, **TINY)
    # Five layers and three scales: the layers 3 and 5 begin with a scale less.
    layers = ["block1_layer1", "block2_layer1", "block2_layer2", "block3_layer1", "block3_layer2"]
    maps = [widths(model, f"{layer}_concat") for layer in layers]
    assert maps == [
        {0: 6, 1: 12, 2: 24},
        {0: 8, 1: 16, 2: 32},
        {1: 20, 2: 40},
        {1: 14, 2: 28},
        {2: 36},
    ]
    transitions = [widths(model, f"{layer}_transition") for layer in layers]
    assert transitions == [{}, {}, {1: 10, 2: 20}, {}, {2: 16}]
    # A bottleneck has at most the channels of its input; a scale gets half of its new channels from the finer one.
    assert model.get_layer("level1_block1_layer1_down_conv1").filters == 2
    assert model.get_layer("level1_block1_layer1_down_conv2").filters == 2
    assert model.get_layer("level2_block1_layer1_normal_conv1").filters == 16
    assert [model.get_layer(f"exit{i}_conv1").filters for i in (1, 2, 3)] == [128] * 3


def test_exits_are_outputs_with_names():
    build = functools.partial(graphs.build, kapps.families.msdnet_cifar, **TWO_SCALES)
    whole = build()
    assert whole.output_names == ["exit1_predictions", "exit2_predictions", "predictions"]
    for number, names in [(1, ["predictions"]), (2, ["exit1_predictions", "predictions"])]:
        part = build(stop_at=number)
        assert part.output_names == names
        assert not any(layer.name.startswith(f"exit{number + 1}") for layer in part.layers)
    last = build(exits=False)
    assert last.output_names == ["predictions"]
    names = {layer.name for layer in last.layers}
    assert names < {layer.name for layer in whole.layers}
    assert not any(name.startswith(("exit1", "exit2")) for name in names)
    features = build(include_top=False, stop_at=2)
    assert features.get_layer("exit2_conv2_bn_relu").output is features.output


def test_numbers_of_exits_that_a_network_does_not_have_raise():
    for number in (0, 3, 1.0, True, "2"):
        with pytest.raises(ValueError, match="1 to 2") as caught:
            graphs.build(
                kapps.families.msdnet_cifar, **TWO_SCALES | {"depths": (1, 1)}, stop_at=number
            )
        message = str(caught.value)
        assert message.startswith("msdnet_cifar: stop_at=") and "\n" not in message
    with pytest.raises(TypeError, match="'stop_at'"):
        kapps.resnet18(stop_at=1)


@pytest.mark.long
def test_a_part_loads_the_weights_of_the_whole_network(tmp_path):
    build = functools.partial(kapps.families.msdnet_cifar, **TWO_SCALES)
    whole = build()
    for variable in whole.weights:
        variable.assign(variable + np.random.default_rng(0).uniform(0, 0.1, variable.shape))
    whole.save_weights(tmp_path / "whole.weights.h5")
    state = {key: np.ascontiguousarray(x) for key, x in to_torch(whole, kalviny).items()}
    save_file(state, tmp_path / "whole.safetensors")
    for file in ("whole.weights.h5", "whole.safetensors"):
        part = build(stop_at=2, weights=tmp_path / file)
        assert_part(part, whole, {"head_logits": "exit2_logits"})
        assert_part(build(exits=False, weights=tmp_path / file), whole)
    part.save_weights(tmp_path / "part.weights.h5")
    again = build(stop_at=2, exits=False, weights=tmp_path / "part.weights.h5")
    assert_part(again, whole, {"head_logits": "exit2_logits"})
    other = build(classes=3, weights=tmp_path / "whole.weights.h5")
    assert [x.shape for x in other.outputs] == [(None, 3)] * 3
    with pytest.raises(ValueError, match=r"part\.weights\.h5 does not hold"):
        build(weights=tmp_path / "part.weights.h5")


def assert_part(part, whole, other_names=()):
    """Asserts that every layer of a part has the weights of the whole network's layer."""
    assert len(part.weights) > 50
    for layer in (x for x in part.layers if x.weights):
        twin = whole.get_layer(dict(other_names).get(layer.name, layer.name))
        for value, expected in zip(layer.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)

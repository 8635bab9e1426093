"""PolyNet: shared convolutions, scales, stochastic paths, and the names of pytorchcv."""

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps._keras_compat import call_nodes
from kapps.layers import DropPath
from kapps.weights import from_torch, to_torch
from kapps.weights.names.polynet import pytorchcv

SMALL = {"depths": (1, 1, 1), "input_shape": (75, 75, 3)}


@pytest.fixture(scope="module")
def small():
    return graphs.build(kapps.families.polynet, **SMALL)


def test_poly_modules_share_convolutions_and_no_other_layer(small):
    calls = {layer.name: len(call_nodes(layer)) for layer in small.layers}
    shared = {name for name, count in calls.items() if count == 3}
    assert shared == {
        f"level{level}_block1_branch{place}"
        for level in (4, 5)
        for place in ("1_conv1", "1_conv2", "1_conv3", "2_conv1")
    }
    assert set(calls.values()) == {1, 3}
    profile = kapps.profile(small)
    rows = [row for row in profile.rows if row.name == "level4_block1_branch1_conv2"]
    assert [row.trainable for row in rows] == [128 * 160 * 7, 0, 0]
    assert len({row.macs for row in rows}) == 1 and rows[0].macs > 0


def test_each_order_reads_the_relu_of_the_last_one(small):
    names = [f"level4_block1_branch2_conv1_bn{i}" for i in (1, 2, 3)]
    convolution = small.get_layer("level4_block1_branch2_conv1")
    inputs = [graphs.layer_of(node.input_tensors[0]).name for node in call_nodes(convolution)]
    assert inputs == [
        "level4_block0_concat",
        "level4_block1_order1_relu",
        "level4_block1_order2_relu",
    ]
    relus = [small.get_layer(f"level4_block1_order{i}_relu") for i in (1, 2)]
    assert [graphs.layer_of(relu.input).name for relu in relus] == [
        f"level4_block1_order{i}_conv_bn" for i in (1, 2)
    ]
    outputs = [node.output_tensors[0] for node in call_nodes(convolution)]
    assert [small.get_layer(name).input is x for name, x in zip(names, outputs, strict=True)] == [
        True
    ] * 3


@pytest.mark.long
def test_scales_fall_from_1_to_7_tenths():
    scales = [
        layer.scale
        for layer in graphs.graph("polynet").model.layers
        if isinstance(layer, keras.layers.Rescaling)
    ]
    assert scales == [round(1 - k / 130, 6) for k in range(1, 40)]  # the first module has none


def test_stochastic_paths_rise_linearly(small):
    assert not [layer for layer in small.layers if isinstance(layer, DropPath)]
    model = graphs.build(kapps.families.polynet, drop_rate=0.4, **SMALL)
    rates = {x.name: x.rate for x in model.layers if isinstance(x, DropPath)}
    expected = {
        "level4_block1": (3, 0.1),
        "level4_block2": (2, 0.2),
        "level5_block1": (3, 0.3),
        "level5_block2": (2, 0.4),
    }
    assert rates == pytest.approx(
        {
            f"{name}_drop{i}": rate
            for name, (paths, rate) in expected.items()
            for i in range(1, paths + 1)
        }
    )


@pytest.mark.long
def test_state_dicts_convert_in_both_directions():
    model, other = (kapps.families.polynet(classes=10, **SMALL) for _ in range(2))
    state = to_torch(model, pytorchcv)
    assert len(state) == len(model.weights)
    from_torch(other, state, pytorchcv, classes=10)
    for value, expected in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)

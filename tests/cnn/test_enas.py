"""ENAS: cells of the micro search space and the network of the macro search space."""

import math

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.cnn import enas, enas_macro
from kapps.layers import DropPath

ARC = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"
"""`fixed_arc` of scripts/cifar10_micro_final.sh: input, operation, input, operation of each node."""
OPERATIONS = ("sep3", "sep5", "avg", "max", "id")
LAST_LAYER = "0 1 1 0 0 0 1 1 1 0 1 0 0 0 1 0 1 0 0 1 1 0 0 0"
"""The last layer of `fixed_arc` in scripts/cifar10_macro_final.sh."""


def trainable(model):
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def sources(layer):
    return [graphs.layer_of(x).name for x in keras.tree.flatten(layer.input)]


def test_cells_are_those_of_the_authors_script():
    numbers = list(map(int, ARC.split()))
    for i, (rows, concatenated) in enumerate((enas.NORMAL, enas.REDUCTION)):
        arc = np.reshape(numbers[20 * i : 20 * i + 20], (5, 4))
        expected = tuple(
            (str(node), OPERATIONS[op1], str(input1), OPERATIONS[op2], str(input2))
            for node, (input1, op1, input2, op2) in enumerate(arc, start=2)
        )
        assert rows == expected
        read = {source for row in rows for source in (row[2], row[4])}
        assert concatenated == tuple(row[0] for row in rows if row[0] not in read)


@pytest.mark.long
def test_reduction_cells_and_auxiliary_classifier_of_the_micro_space():
    model = graphs.graph("enas_micro15", auxiliary=True).model
    assert trainable(model) == 3_894_372 + 494_848
    assert sources(model.get_layer("auxiliary1_relu")) == ["level2_block2_out"]
    cells = {layer.name.rpartition("_")[0] for layer in model.layers if layer.name.endswith("_out")}
    assert [sum(f"level{i}" in name for name in cells) for i in range(3)] == [5, 6, 6]
    strided = [x for x in model.layers if getattr(x, "strides", None) == (2, 2)]
    assert {x.name.partition("_block")[2][:1] for x in strided} == {"1", "2"}
    assert not model.get_layer("head_logits").use_bias
    assert model.get_layer("auxiliary1_logits").use_bias is False


def test_drop_path_rises_with_the_cells():
    model = graphs.build(kapps.families.enas, filters=4, depth=3, drop_rate=0.4, drop_steps=7)
    drops = {layer.name: layer for layer in model.layers if isinstance(layer, DropPath)}
    assert all(layer.steps == 7 for layer in drops.values())
    rates = [drops[f"level{level}_block1_2_left_drop"].rate for level in range(3)]
    assert rates == pytest.approx([0.08, 0.16, 0.32])
    assert drops["level2_block2_2_left_drop"].rate == pytest.approx(0.4)
    # A factorised reduction in place of the identity is exempt too.
    assert "level1_block1_5_left_drop" in drops and "level1_block1_5_right_drop" not in drops


def test_skip_connections_of_the_macro_space():
    skips = tuple(i for i, bit in enumerate(LAST_LAYER.split()[1:]) if bit == "1")
    assert enas_macro.ARC[-1] == ("conv3", skips) and len(enas_macro.ARC) == 24
    model = graphs.graph("enas_macro").model
    names = sources(model.get_layer("level2_block8_concat"))
    assert names == [
        *(f"level2_from{i}_concat_bn" for i in skips[:-2]),
        "level2_block2_skip_bn",  # layer 18
        "level2_block3_skip_bn",
        "level2_block8_conv2_bn",
    ]
    assert len([x for x in model.layers if x.name.endswith("_concat_bn")]) == 9 + 17
    separable = graphs.graph("enas_macro_separable").model
    kernels = [x.name for x in separable.layers if isinstance(x, keras.layers.DepthwiseConv2D)]
    assert len(kernels) == sum(operation.startswith("sep") for operation, _ in enas_macro.ARC)


def test_fewer_cells_than_levels_raise():
    with pytest.raises(ValueError, match="depth=2 is below 3"):
        kapps.families.enas(depth=2)

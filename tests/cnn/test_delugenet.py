"""DelugeNet: the sources of each layer, the parts of a block, and depths."""

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.layers import CrossLayerDepthwiseConv2D

SMALL = {"depths": (3, 2, 2), "filters": 4, "input_shape": (16, 16, 3)}


def sources(model):
    """Returns {layer: names of the layers whose maps a cross-layer convolution reads}."""
    return {
        layer.name: [graphs.layer_of(x).name for x in layer.input]
        for layer in model.layers
        if isinstance(layer, CrossLayerDepthwiseConv2D)
    }


def test_layers_read_all_earlier_outputs_of_their_block():
    model = graphs.build(kapps.families.delugenet, **{**SMALL, "input_shape": (64, 64, 3)})
    two = [f"level2_block{i}_conv3" for i in (1, 2, 3)]
    three, four = [
        [f"level{n}_block0_conv", f"level{n}_block1_conv3", f"level{n}_block2_conv3"]
        for n in (3, 4)
    ]
    assert sources(model) == {
        "level2_block2_cross": ["level2_conv", *two[:1]],
        "level2_block3_cross": ["level2_conv", *two[:2]],
        "level2_cross": ["level2_conv", *two],
        "level3_block2_cross": three[:2],
        "level3_cross": three,
        "level4_block2_cross": four[:2],
        "level4_cross": four,
    }


def test_transitions_have_no_relu():
    model = graphs.build(kapps.families.delugenet_cifar, **SMALL, padding="same")
    convolution = model.get_layer("level1_block0_conv")
    norm = graphs.layer_of(convolution.input)
    assert (norm.name, graphs.layer_of(norm.input).name) == ("level1_block0_norm", "level0_cross")
    assert convolution.strides == (2, 2) and convolution.kernel_size == (3, 3)


def test_stem_is_no_source_on_cifar():
    model = graphs.build(kapps.families.delugenet_cifar, **SMALL)
    assert sources(model)["level0_block3_cross"] == ["level0_block1_conv3", "level0_block2_conv3"]
    assert "level0_block2_cross" not in sources(model)


@pytest.mark.parametrize("name, count", [("delugenet92", 158), ("delugenet146_cifar", 511)])
def test_sources_of_the_published_networks(name, count):
    """A block of k composite layers after a transition has k (k + 1) / 2 - 1 + k + 1 of them."""
    model = graphs.graph(name).model
    assert sum(map(len, sources(model).values())) == count
    weights = [
        layer for layer in model.layers if layer.name.endswith(("_conv1", "_conv2", "_conv3"))
    ]
    assert len(weights) + 2 == int("".join(filter(str.isdigit, name)))


def test_gammas_begin_at_the_inverse_number_of_sources():
    model = kapps.families.delugenet_cifar(**SMALL)
    layer = model.get_layer("level0_cross")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.gamma), 1 / 3)

"""A2-Net: costs against those of the plain network, places of the blocks, and the start as a ResNet."""

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps import heads
from kapps.cnn import a2net


def costs_of_a_block(side, channels):
    """Returns the parameters and multiply-accumulates of double attention on a map."""
    half, pixels = channels // 2, side * side
    kernels = 4 * channels * half
    return np.array([kernels + 3 * half + channels, kernels * pixels + 2 * half * half * pixels])


def test_costs(reference):
    """arXiv:1810.11579 prints 33.0M parameters."""
    plain = reference["resnet50"]
    costs = np.array([plain["trainable"], plain["macs"]])
    costs += 2 * costs_of_a_block(28, 512) + 3 * costs_of_a_block(14, 1024)
    row = reference["a2net50"]
    assert (row["trainable"], row["macs"]) == tuple(costs)
    assert row["trainable"] / 1e6 == pytest.approx(33.0, abs=0.1)


def test_costs_of_the_small_network(reference):
    """The plain network has shortcuts that are padded with zeros; here they project."""
    plain = reference["resnet20_cifar"]
    costs = np.array([plain["trainable"], plain["macs"]])
    for side, inputs in ((16, 16), (8, 32)):
        kernel = inputs * 2 * inputs
        costs += np.array([kernel + 4 * inputs, kernel * side * side])
        costs += costs_of_a_block(side, 2 * inputs)
    row = reference["a2net20_cifar"]
    assert (row["trainable"], row["macs"]) == tuple(costs)


def test_places_of_the_blocks():
    model = graphs.graph("a2net50").model
    names = [x.name for x in model.layers if x.name.endswith("_double_attention")]
    places = ["level3_block2", "level3_block4", "level4_block2", "level4_block4", "level4_block6"]
    assert names == [f"{place}_double_attention" for place in places]
    features, gather, _ = model.get_layer(names[0]).input
    assert features.shape == gather.shape == (None, 28, 28, 256)


def test_starts_as_the_network_without_attention():
    options = dict(block=a2net.basic_block, input_shape=(32, 32, 3), filters=8, stem="3x3")
    model = kapps.families.a2net(depths=(1, 1), modules=(0, 1), **options)
    image = model.input
    plain = model.get_layer("level1_block1_out").output
    plain = keras.Model(image, heads.pool(plain, "avg"))
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    pooled = keras.Model(image, model.get_layer("head_pool").output)
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(m(images)) for m in (plain, pooled)))


def test_more_blocks_than_residual_blocks_raise():
    for modules in ((0, 2), (1,)):
        with pytest.raises(ValueError, match="modules="):
            kapps.families.a2net(depths=(1, 1), modules=modules)

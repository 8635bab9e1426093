"""Residual attention networks: logits of the authors' networks and of pytorchcv's, and the maps of a mask."""

import fingerprints
import graphs
import keras
import pytest

import kapps
from kapps.weights.names.residual_attention import fwang91

LOGITS = {
    # tensors, first four logits, last logit, norm of all; the authors' networks for Caffe
    "residual_attention56": (540, (7844.63891, -3590.16378, -3917.49455, 2253.70961), -5265.41557, 166149.704),
    "attention_next56": (540, (36493.0646, -31248.4176, 16997.3158, -3479.56311), -20083.8809, 1024103.02),
    "residual_attention92": (885, (1694979.54, -1041771.58, -1093385.49, 14277.643), -551569.483, 41143539.9),
}  # fmt: skip
SMALL = {"modules": (1,), "poolings": (2,), "input_shape": (32, 32, 3)}


def assert_logits(name):
    tensors, *fingerprint = LOGITS[name]
    images = fingerprints.images(1, 224, 224)
    scales = {"mask/linear_2": 1e-4}  # else the sigmoids are 0 or 1
    output, count = fingerprints.logits(
        getattr(kapps, name), fwang91, images, "classifier", 1000, scales
    )
    assert count == tensors
    fingerprints.assert_fingerprint(output, *fingerprint)


@pytest.mark.long
@pytest.mark.parametrize("name", ["residual_attention56", "attention_next56"])
def test_logits_equal_those_of_the_authors_networks(name):
    assert_logits(name)


@pytest.fixture(scope="module")
def model():
    return graphs.graph("residual_attention56").model


@pytest.mark.parametrize("level, sizes", [(2, (56, 28, 14, 7)), (3, (28, 14, 7)), (4, (14, 7))])
def test_masks_reach_the_smallest_map_and_return(model, level, sizes):
    name = f"level{level}_block2"
    down = [model.get_layer(f"{name}_down{i}_pool").output.shape[1] for i in range(1, len(sizes))]
    up = [model.get_layer(f"{name}_up{i}_resize").output.shape[1] for i in range(1, len(sizes))]
    assert (tuple(down), tuple(up)) == (sizes[1:], sizes[:-1])
    assert model.get_layer(f"{name}_mask").output.shape[1:] == (sizes[0], sizes[0], 64 * 2**level)
    skips = [x.name for x in model.layers if x.name.startswith(f"{name}_skip")]
    assert len([skip for skip in skips if skip.endswith("_out")]) == len(sizes) - 2


def test_masks_change_the_trunk_by_a_factor_of_1_to_2():
    model = kapps.families.residual_attention(filters=16, **SMALL)
    names = [f"level2_block2_{part}" for part in ("trunk3_out", "attended")]
    layers = [model.get_layer(name).output for name in names]
    x = keras.random.normal((2, 32, 32, 3))
    trunk, attended = map(keras.ops.convert_to_numpy, keras.Model(model.input, layers)(x))
    ratio = attended / trunk
    assert 0.9999 < ratio.min() < ratio.max() < 2.0001


def test_units_of_attention_next_are_resnexts():
    model = graphs.build(kapps.families.residual_attention, preactivation=False, **SMALL)
    assert not [x for x in model.layers if x.name.endswith(("_preact", "_norm"))]
    convolution = model.get_layer("level2_block2_trunk1_conv2")
    assert (convolution.groups, convolution.filters) == (32, 128)
    assert graphs.layer_of(model.get_layer("head_pool").input).name == "level3_block3_out"

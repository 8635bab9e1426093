"""ShuffleNet V2: units, and the large networks of the appendix."""

import keras
import numpy as np
import pytest

import kapps

SMALL = {"include_top": False, "input_shape": (32, 32, 3)}


@pytest.fixture(scope="module")
def model():
    return kapps.families.shufflenet_v2(filters=48, depths=(2, 1, 1), **SMALL)


def outputs(model, names, images):
    """Returns the outputs of layers as NumPy arrays."""
    ends = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return [keras.ops.convert_to_numpy(x) for x in ends(images, training=False)]


def test_half_of_the_channels_pass_unchanged(model, digits):
    names = ("level3_block1_shuffle", "level3_block2_shuffle", "level3_block2_conv3_bn_relu")
    before, after, transformed = outputs(model, names, digits(32)[0][:2])
    np.testing.assert_array_equal(after[..., 0::2], before[..., :24])
    np.testing.assert_array_equal(after[..., 1::2], transformed)


def test_first_unit_has_two_branches_and_no_groups(model):
    dense = [layer for layer in model.layers if type(layer) is keras.layers.Conv2D]
    assert {layer.groups for layer in dense} == {1}
    shortcuts = [x.name for x in model.layers if x.name.endswith(("_shortcut1", "_shortcut2"))]
    expected = [f"level{n}_block1_shortcut{i}" for n in (3, 4, 5) for i in (1, 2)]
    assert sorted(shortcuts) == expected


def test_multiply_adds_of_the_large_networks(reference):
    assert reference["shufflenet_v2_50"]["macs"] / 1e9 == pytest.approx(2.3, rel=0.005)
    assert reference["se_shufflenet_v2_164"]["macs"] / 1e9 == pytest.approx(12.7, rel=0.015)


@pytest.mark.long
def test_se_shufflenet_v2_164_has_164_layers_and_residual_se_units():
    model = kapps.se_shufflenet_v2_164(input_shape=(32, 32, 3))
    names = [layer.name for layer in model.layers if hasattr(layer, "kernel")]
    on_the_path = [x for x in names if "_se_" not in x and "_shortcut" not in x]
    assert len(on_the_path) == 164
    assert sum(x.endswith("_se_reduce") for x in names) == 53
    summed = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(summed) == 53 - 4
    assert [x._keras_history.operation.name for x in summed[0].input] == [
        "level2_block2_split_rest",
        "level2_block2_se_scale",
    ]

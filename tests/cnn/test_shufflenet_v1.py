"""ShuffleNet V1: groups, channel shuffles, strides and activations."""

import keras
import numpy as np
import pytest

import kapps
from kapps.layers import ChannelShuffle

SMALL = {"include_top": False, "input_shape": (32, 32, 3)}
PRINTED = {  # millions of multiply-adds, arXiv:1707.01083
    "shufflenet_v1_g1": 143, "shufflenet_v1_g2": 140, "shufflenet_v1": 137, "shufflenet_v1_g4": 133,
    "shufflenet_v1_g8": 137, "shufflenet_v1_150": 292, "shufflenet_v1_200": 524,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return kapps.families.shufflenet_v1(groups=3, filters=240, depths=(2, 1, 1), **SMALL)


def source(model, name):
    """Returns the name of a layer's input layer."""
    return model.get_layer(name).input._keras_history.operation.name


def test_multiply_adds_of_the_papers(reference):
    for name, printed in PRINTED.items():
        assert reference[name]["macs"] / 1e6 == pytest.approx(printed, rel=0.012), name
    assert reference["shufflenet_v1_50"]["macs"] / 1e9 == pytest.approx(2.3, rel=0.01)


def test_all_1x1_except_the_first_are_grouped(model):
    groups = {
        layer.name: layer.groups for layer in model.layers if type(layer).__name__ == "Conv2D"
    }
    assert groups.pop("stem_conv") == 1 and groups.pop("level3_block1_conv1") == 1
    assert len(groups) == 7 and set(groups.values()) == {3}


def test_shuffle_is_between_the_first_1x1_and_the_3x3(model):
    assert sum(isinstance(layer, ChannelShuffle) for layer in model.layers) == 4
    assert source(model, "level3_block2_shuffle") == "level3_block2_conv1_bn_relu"
    assert source(model, "level3_block2_conv2") == "level3_block2_shuffle"
    assert source(model, "level3_block2_conv3") == "level3_block2_conv2_bn"  # and no ReLU


def test_no_shuffle_without_groups():
    model = kapps.shufflenet_v1_g1(**SMALL)
    assert not any(isinstance(layer, ChannelShuffle) for layer in model.layers)


def test_strided_unit_concatenates_average_pooling(digits):
    model = kapps.families.shufflenet_v1(groups=3, filters=60, stem=24, depths=(1, 1, 1), **SMALL)
    ends = [model.get_layer(name).output for name in ("stem_pool", "level3_block1_out")]
    before, after = (
        keras.ops.convert_to_numpy(x)
        for x in keras.Model(model.input, ends)(digits(32)[0][:2], training=False)
    )
    padded = np.pad(before, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    np.testing.assert_allclose(after[..., 36:], windows.mean(axis=(-2, -1)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name, widths", [("shufflenet_v1_g8", (384, 768, 1536)), ("shufflenet_v1_050", (120, 240, 480))]
)
def test_widths_of_table_1(name, widths):
    levels = kapps.pyramid_outputs(getattr(kapps, name)(**SMALL))
    assert tuple(levels[level].shape[-1] for level in (3, 4, 5)) == widths


def test_shufflenet_v1_50_has_four_levels_and_50_layers():
    model = kapps.shufflenet_v1_50(input_shape=(32, 32, 3))
    assert sum(hasattr(layer, "kernel") for layer in model.layers) == 50
    levels = kapps.pyramid_outputs(model)
    assert [levels[level].shape[-1] for level in (2, 3, 4, 5)] == [360, 720, 1440, 2880]

"""Dual path networks: the residual and the dense path."""

import keras
import numpy as np
import pytest

import kapps

# Channels after each level: Table 1 of arXiv:1707.01629, the authors' code for DPN-68.
WIDTHS = {
    "dpn68": (64 + 5 * 16, 128 + 6 * 32, 256 + 14 * 32, 512 + 5 * 64),
    "dpn92": (256 + 5 * 16, 512 + 6 * 32, 1024 + 22 * 24, 2048 + 5 * 128),
}
PRINTED = {"dpn92": (37.8, 6.5), "dpn98": (61.7, 11.7)}  # millions of parameters, billions of FLOPs
SMALL = {"include_top": False, "input_shape": (32, 32, 3)}


@pytest.fixture(scope="module")
def model():
    return kapps.families.dpn(
        depths=(2, 2), growths=(8, 16), bottleneck=32, groups=8, stem=16, residual=64, **SMALL
    )


def test_costs_of_the_paper(reference):
    for name, (params, macs) in PRINTED.items():
        assert reference[name]["total"] / 1e6 == pytest.approx(params, abs=0.05)
        assert reference[name]["macs"] / 1e9 == pytest.approx(macs, abs=0.05)


def test_residual_path_adds_and_dense_path_concatenates(model, digits):
    names = ["level2_block1_add", "level2_block1_concat", "level2_block2_conv3"]
    names += ["level2_block2_add", "level2_block2_concat"]
    ends = keras.Model(model.input, [model.get_layer(name).output for name in names])
    added, appended, branch, added2, appended2 = (
        keras.ops.convert_to_numpy(x) for x in ends(digits(32)[0][:2], training=False)
    )
    assert branch.shape[-1] == 64 + 8
    np.testing.assert_allclose(added2, added + branch[..., :64], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(appended2[..., :24], appended)
    np.testing.assert_array_equal(appended2[..., 24:], branch[..., 64:])


def test_first_block_of_a_level_projects_both_paths(model):
    shortcuts = {
        layer.name: (layer.filters, layer.strides)
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.name.endswith("_shortcut")
    }
    assert shortcuts == {
        "level2_block1_shortcut": (64 + 2 * 8, (1, 1)),
        "level3_block1_shortcut": (128 + 2 * 16, (2, 2)),
    }


@pytest.mark.long
@pytest.mark.parametrize("name", ["dpn68", "dpn92"])
def test_channels_and_groups_of_table_1(name):
    model = getattr(kapps, name)(**SMALL)
    widths = [
        model.get_layer(x).input.shape[-1]
        for x in (
            "level3_block1_conv1_norm", "level4_block1_conv1_norm", "level5_block1_conv1_norm",
            "level5_norm",
        )
    ]  # fmt: skip
    assert tuple(widths) == WIDTHS[name]
    groups = {x.groups for x in model.layers if x.name.endswith("_conv2")}
    assert groups == {32}

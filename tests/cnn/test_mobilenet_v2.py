"""MobileNet V2: the blocks of Table 2, linear bottlenecks, and widths."""

import pytest

import kapps
from kapps.layers import make_divisible

PRINTED = {
    "mobilenet_v2": 300,
    "mobilenet_v2_140": 585,
}  # Table 4 of arXiv:1801.04381, M multiply-adds


@pytest.fixture(scope="module")
def model():
    return kapps.mobilenet_v2(input_shape=(224, 224, 3))


def source(tensor):
    """Returns the layer that made a tensor."""
    return tensor._keras_history.operation


def test_multiply_adds_of_table_4(reference):
    for name, macs in PRINTED.items():
        assert reference[name]["macs"] / 1e6 == pytest.approx(macs, rel=0.01)


def test_blocks_of_table_2(model):
    blocks = [
        (layer.output.shape[1], layer.output.shape[3])
        for layer in model.layers
        if layer.name.endswith("_project")
    ]
    sizes = [(112, 16)] + 2 * [(56, 24)] + 3 * [(28, 32)] + 4 * [(14, 64)] + 3 * [(14, 96)]
    assert blocks == sizes + 3 * [(7, 160)] + [(7, 320)]


def test_residuals_where_the_shape_does_not_change(model):
    added = [layer.name for layer in model.layers if layer.name.endswith("_add")]
    level4 = [f"level4_block{i}_add" for i in (2, 3, 4, 6, 7)]
    assert added == [
        "level2_block2_add", "level3_block2_add", "level3_block3_add", *level4,
        "level5_block2_add", "level5_block3_add",
    ]  # fmt: skip


def test_bottlenecks_are_linear(model):
    for layer in model.layers:
        if layer.name.endswith("_add"):
            narrow, projected = (source(x) for x in layer.input)
            assert projected.name.endswith("_project_bn")
            assert narrow.name.endswith(("_project_bn", "_add"))


def test_activations_are_relu6(model):
    activations = {layer.activation.__name__ for layer in model.layers if "_relu6" in layer.name}
    assert activations == {"relu6"}
    assert sum("_relu6" in layer.name for layer in model.layers) == 1 + 16 + 17 + 1


def test_first_block_has_no_expansion(model):
    assert source(model.get_layer("level1_block1_depthwise").input).name == "stem_conv_bn_relu6"
    assert model.get_layer("level2_block1_expand").filters == 6 * 16


@pytest.mark.parametrize(
    "channels, expected", [(32 * 0.35, 16), (24 * 0.35, 8), (96 * 0.35, 32), (3, 8), (12, 16)]
)
def test_make_divisible(channels, expected):
    assert make_divisible(channels) == expected


@pytest.mark.parametrize("width, last", [(0.5, 1280), (1.4, 1792)])
def test_width_of_the_last_layer(width, last):
    model = kapps.families.mobilenet_v2(width_multiplier=width, input_shape=(32, 32, 3))
    assert model.get_layer("level5_conv").filters == last

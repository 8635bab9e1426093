"""EfficientNet V2: Table 4 of its paper, fused blocks, stochastic depth, scaling and image sizes."""

import graphs
import keras
import pytest

import kapps

# Table 4 of arXiv:2104.00298, S: (fused, expansion, channels, layers) of stages 1 to 6.
TABLE_4 = [
    (True, 1, 24, 2), (True, 4, 48, 4), (True, 4, 64, 4),
    (False, 4, 128, 6), (False, 6, 160, 9), (False, 6, 256, 15),
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return graphs.graph("efficientnet_v2_s").model


def blocks(model):
    """Returns (fused, expansion, channels) of each block."""
    layers = {layer.name: layer for layer in model.layers}
    names = dict.fromkeys("_".join(x.split("_")[:2]) for x in layers if "_block" in x)
    rows = []
    for block in names:
        expand = layers.get(f"{block}_expand")
        expansion = expand.filters // expand.input.shape[-1] if expand else 1
        last = layers.get(f"{block}_project") or layers[f"{block}_conv"]
        rows.append((f"{block}_depthwise" not in layers, expansion, last.filters))
    return rows


def test_stages_of_table_4(model):
    expected = [stage[:3] for stage in TABLE_4 for _ in range(stage[3])]
    assert blocks(model) == expected
    assert model.get_layer("stem_conv").filters == 24
    assert model.get_layer("level5_conv").filters == 1280


def test_fused_blocks_have_no_se_and_one_large_convolution(model):
    layers = {layer.name: layer for layer in model.layers}
    assert layers["level1_block1_conv"].kernel_size == (3, 3)
    assert "level1_block1_project" not in layers
    assert layers["level2_block1_expand"].kernel_size == (3, 3)
    assert layers["level2_block1_project"].kernel_size == (1, 1)
    squeezed = [layer.filters for name, layer in layers.items() if name.endswith("_se_reduce")]
    entering = [64, *5 * [128], 128, *8 * [160], 160, *14 * [256]]
    assert squeezed == [channels // 4 for channels in entering]


def test_stochastic_depth_rises_linearly(model):
    rates = [layer.rate for layer in model.layers if layer.name.endswith("_drop")]
    assert rates == sorted(rates)
    assert model.get_layer("level1_block2_drop").rate == pytest.approx(0.2 * 1 / 40)
    assert model.get_layer("level5_block15_drop").rate == pytest.approx(0.2 * 39 / 40)


def test_widths_are_rounded_to_the_nearest_multiple():
    """1.2 times 16, 32, 48, 96, 112 and 192 channels. 19.2 becomes 16, although that is more than a tenth lower."""
    model = graphs.graph("efficientnet_v2_b3", input_shape=(64, 64, 3)).model
    channels = list(dict.fromkeys(row[2] for row in blocks(model)))
    assert channels == [16, 40, 56, 112, 136, 232]
    assert model.get_layer("level5_conv").filters == 1536


def test_batch_norms_and_dropout_are_those_of_the_authors(model):
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {(x.momentum, x.epsilon) for x in norms} == {(0.9, 1e-3)}
    rates = {"b0": 0.2, "b2": 0.3, "s": 0.2, "m": 0.3, "l": 0.4, "xl": 0.4}
    for size, dropout in rates.items():
        builder = getattr(kapps, f"efficientnet_v2_{size}").builder
        assert builder.heads["head"].keywords == {"dropout": dropout}


def test_images_of_the_evaluation():
    sizes = {"b0": 224, "b1": 240, "b2": 260, "b3": 300, "s": 384, "m": 480, "l": 480, "xl": 512}
    for size, pixels in sizes.items():
        card = kapps.card(f"efficientnet_v2_{size}")
        assert card.input_shape == (pixels, pixels, 3)
        assert card.preprocessing.mean == (
            (0.485, 0.456, 0.406) if "b" in size else (0.5, 0.5, 0.5)
        )
    # Published multiply-accumulates of Table 7: 8.8B, 24B, 53B and 94B
    for size, macs in (("s", 8.8), ("m", 24), ("l", 53), ("xl", 94)):
        assert kapps.card(f"efficientnet_v2_{size}").macs / 1e9 == pytest.approx(macs, rel=0.06)

"""MobileNet V3: the rows of Tables 1 and 2, hard swish, SE blocks, the minimalistic form and the multipliers."""

import graphs
import keras
import pytest

# Tables 1 and 2 of arXiv:1905.02244: height of the output, channels, kernel size, SE, activation.
LARGE = (
    [(112, 16, 3, False, "relu")]
    + 2 * [(56, 24, 3, False, "relu")]
    + 3 * [(28, 40, 5, True, "relu")]
    + 4 * [(14, 80, 3, False, "hard_silu")]
    + 2 * [(14, 112, 3, True, "hard_silu")]
    + 3 * [(7, 160, 5, True, "hard_silu")]
)
SMALL = (
    [(56, 16, 3, True, "relu")]
    + 2 * [(28, 24, 3, False, "relu")]
    + 3 * [(14, 40, 5, True, "hard_silu")]
    + 2 * [(14, 48, 5, True, "hard_silu")]
    + 3 * [(7, 96, 5, True, "hard_silu")]
)
PRINTED = {
    # Table 3 and figure 6, millions of multiply-adds and of parameters
    "mobilenet_v3_large": (219, 5.4),
    "mobilenet_v3_large_075": (155, 4.0),
    "mobilenet_v3_small": (56, 2.5),
    "mobilenet_v3_small_075": (44, 2.0),
}


def blocks(model):
    """Returns (height, channels, kernel size, SE, activation) of each block."""
    layers = {layer.name: layer for layer in model.layers}
    rows = []
    for block in (name.removesuffix("_project") for name in layers if name.endswith("_project")):
        depthwise, project = layers[f"{block}_depthwise"], layers[f"{block}_project"]
        kinds = [x for x in ("relu", "hard_silu") if f"{block}_depthwise_bn_{x}" in layers]
        squeezed = f"{block}_se_scale" in layers
        row = project.output.shape[1], project.filters, depthwise.kernel_size[0], squeezed, *kinds
        rows.append(row)
    return rows


def test_costs_of_the_paper(reference):
    for name, (macs, params) in PRINTED.items():
        assert reference[name]["macs"] / 1e6 == pytest.approx(macs, rel=0.015), name
        assert reference[name]["trainable"] / 1e6 == pytest.approx(params, rel=0.025), name


@pytest.mark.parametrize("size, rows", [("large", LARGE), ("small", SMALL)])
def test_blocks_of_the_tables(size, rows):
    model = graphs.graph(f"mobilenet_v3_{size}").model
    assert blocks(model) == rows
    plain = graphs.graph(f"mobilenet_v3_{size}_minimalistic").model
    minimalistic = [(height, filters, 3, False, "relu") for height, filters, *_ in rows]
    assert blocks(plain) == minimalistic
    activations = {x.activation.__name__ for x in plain.layers if hasattr(x, "activation")}
    assert activations == {"relu", "linear", "softmax"}


def test_se_blocks_have_a_quarter_of_the_channels_and_a_hard_sigmoid():
    model = graphs.graph("mobilenet_v3_large").model
    reduce = [x for x in model.layers if x.name.endswith("_se_reduce")]
    expand = [x for x in model.layers if x.name.endswith("_se_expand")]
    # A quarter of 72, 120, 480, 672, 672 and 960 channels, rounded to a multiple of 8
    assert [x.filters for x in reduce] == [24, 32, 32, 120, 168, 168, 240, 240]
    assert [x.filters for x in expand] == [72, 120, 120, 480, 672, 672, 960, 960]
    assert {x.activation.__name__ for x in reduce} == {"relu"}
    assert {x.activation.__name__ for x in expand} == {"hard_sigmoid"}


@pytest.mark.long
def test_heads():
    hidden = {
        "large": 1280, "large_050": 1280, "large_125": 1600, "small": 1024, "small_035": 1024, "small_125": 1280,
    }  # fmt: skip
    for name, units in hidden.items():
        model = graphs.graph(f"mobilenet_v3_{name}").model
        dense = model.get_layer("head_dense1")
        assert (dense.units, dense.activation.__name__) == (units, "hard_silu")
        assert model.get_layer("stem_conv").filters == 16
        last = model.get_layer("level5_conv")
        assert last.filters == 6 * last.input.shape[-1]


def test_epsilon_is_that_of_the_weights():
    """The network of half the width is timm's, the others are those of TensorFlow and torchvision."""
    for name, epsilon in (("small", 1e-3), ("small_075", 1e-3), ("small_050", 1e-5)):
        layers = graphs.graph(f"mobilenet_v3_{name}").model.layers
        values = {x.epsilon for x in layers if isinstance(x, keras.layers.BatchNormalization)}
        assert values == {epsilon}, name

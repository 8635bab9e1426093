"""Attention-augmented ResNet: costs against those of the plain network, the published costs, and where attention is."""

import graphs
import numpy as np
import pytest

import kapps
from kapps import cards
from kapps.cnn import attention_augmented

LEVELS = {3: (28, 128), 4: (14, 256), 5: (7, 512)}
"""The height and the filters of each level with attention, at 224 pixels."""
BUILDERS = [n for n in cards.list_models() if cards.card(n).family == "attention_augmented"]


def augmented_costs(side, inputs, filters, heads, kappa, upsilon, least):
    """Returns the parameters and multiply-accumulates that attention adds to a 3x3 of `inputs` channels."""
    keys = max(int(kappa * filters / heads), least) * heads
    values = int(upsilon * filters / heads) * heads
    pixels, distances = side * side, 2 * side - 1
    convolutions = inputs * (2 * keys + values) + values * values - 9 * inputs * values
    parameters = convolutions + 2 * distances * (keys // heads)
    macs = convolutions * pixels + pixels * pixels * (keys + values)
    return np.array([parameters, macs + 2 * pixels * distances * keys])


def expected_costs(name, reference):
    """Returns the costs of the plain ResNet, with those of attention added."""
    plain, row = name.removeprefix("aa_"), graphs.builder(name).builder.row
    costs = np.array([reference[plain]["trainable"], reference[plain]["macs"]])
    basic = row.get("block") is attention_augmented.basic_block
    kappa, upsilon = (0.25, 0.25) if basic else (0.2, 0.1)
    for level, (side, filters) in LEVELS.items():
        for i in range(row["depths"][level - 2]):
            inputs = filters // 2 if basic and i == 0 else filters
            costs += augmented_costs(side, inputs, filters, 8, kappa, upsilon, least=20)
    return tuple(costs)


@pytest.mark.parametrize("name", BUILDERS)
def test_costs_are_those_of_the_plain_network_and_of_attention(name, reference):
    expected = expected_costs(name, reference)
    assert (reference[name]["trainable"], reference[name]["macs"]) == expected


@pytest.mark.parametrize(
    "name, parameters, gflops",
    [("aa_resnet34", 20.7, 7.1), ("aa_resnet50", 25.8, 8.3), ("aa_resnet101", 45.4, 16.1)],
)
@pytest.mark.long
def test_published_costs(name, parameters, gflops):
    """The published operations are those of attention on a pooled map at level 3."""
    row = graphs.builder(name).builder.row
    model = graphs.build(kapps.families.attention_augmented, **row, pool_first=True)
    profile = kapps.profile(model)
    assert round(profile.trainable / 1e6, 1) == pytest.approx(parameters, abs=0.11)
    assert 2 * profile.macs / 1e9 == pytest.approx(gflops, rel=0.02)


def test_convolutions_with_attention():
    model = graphs.graph("aa_resnet34").model
    names = [x.name for x in model.layers if x.name.endswith("_attention")]
    blocks = [(level, i) for level, n in ((3, 4), (4, 6), (5, 3)) for i in range(1, n + 1)]
    assert names == [f"level{level}_block{i}_conv1_attention" for level, i in blocks]
    for level, (side, filters) in LEVELS.items():
        layer = model.get_layer(f"level{level}_block1_conv1_attention")
        assert layer.output.shape == (None, side, side, filters // 4)
        assert (layer.heads, layer.key_dim, layer.height, layer.width) == (8, 20, side, side)
        conv = model.get_layer(f"level{level}_block1_conv1")
        assert conv.filters == filters - filters // 4


def test_pooled_map_of_the_first_level():
    model = graphs.build(
        kapps.families.attention_augmented, depths=(1, 1, 1), pool_first=True,
        input_shape=(64, 96, 3), include_top=False,
    )  # fmt: skip
    first, second = (model.get_layer(f"level{n}_block1_conv2_attention") for n in (3, 4))
    assert first.input.shape[1:3] == second.input.shape[1:3] == (4, 6)
    assert first.height == second.height == 14


def test_fewer_channels_than_heads_raise():
    with pytest.raises(ValueError, match="heads=8"):
        kapps.families.attention_augmented(depths=(1, 1), upsilon=0.01)


def wide_resnet_costs(n, filters, classes):
    """Returns the parameters and multiply-accumulates of a wide ResNet of arXiv:1605.07146 at 32 pixels."""
    parameters, macs, inputs = 9 * 3 * 16, 9 * 3 * 16 * 32**2, 16
    for level in range(3):
        width, pixels = filters * 2**level, (32 // 2**level) ** 2
        for _ in range(n):
            kernels = 9 * inputs * width + 9 * width * width
            # a projection where the width changes
            kernels += inputs * width if inputs != width else 0
            parameters += kernels + 2 * inputs + 2 * width
            macs, inputs = macs + kernels * pixels, width
    parameters += 2 * inputs + inputs * classes + classes
    return np.array([parameters, macs + inputs * classes])


@pytest.mark.parametrize(
    "name, n, filters, first, attention",
    [
        ("aa_resnet20_cifar", 3, 16, 1, (4, 0.25, 0.25, 4)),
        ("aa_wrn28_10", 4, 160, 0, (8, 0.2, 0.1, 20)),
    ],
)
def test_costs_of_wide_resnets(name, n, filters, first, attention, reference):
    costs = wide_resnet_costs(n, filters, 10)
    for level in range(first, 3):
        width = filters * 2**level
        for i in range(n):
            inputs = width if i else (width // 2 if level else 16)
            costs += augmented_costs(32 // 2**level, inputs, width, *attention)
    assert (reference[name]["trainable"], reference[name]["macs"]) == tuple(costs)


def test_costs_of_the_plain_wide_resnet():
    """The number that the code of arXiv:1605.07146 prints is 36.5M."""
    assert round(wide_resnet_costs(4, 160, 10)[0] / 1e6, 1) == 36.5

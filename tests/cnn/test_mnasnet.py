"""MnasNet: figure 7 of its paper, the networks of the authors' code, SE blocks, and published sizes."""

import graphs
import pytest

# The authors' README: millions of parameters by multiplier. Figure 7 and its text: 3.9M and 312M for A1.
README = {"035": 1.7, "050": 2.1, "075": 2.9, "140": 6.1}
# Channels and kernel size of each block of figure 7 (b): SepConv, then MBConv.
A1 = [
    (16, 3), *2 * [(24, 3)], *3 * [(40, 5)], *4 * [(80, 3)], *2 * [(112, 3)], *3 * [(160, 5)], (320, 3),
]  # fmt: skip
B1 = [
    (16, 3), *3 * [(24, 3)], *3 * [(40, 5)], *3 * [(80, 5)], *2 * [(96, 3)], *4 * [(192, 5)], (320, 3),
]  # fmt: skip


def named(model, end):
    return [layer for layer in model.layers if layer.name.endswith(end)]


def test_published_sizes(reference):
    for multiplier, params in README.items():
        value = reference[f"mnasnet_a1_{multiplier}"]["trainable"]
        assert value / 1e6 == pytest.approx(params, abs=0.05), multiplier
    assert reference["mnasnet_a1"]["trainable"] / 1e6 == pytest.approx(3.9, abs=0.05)
    assert reference["mnasnet_a1"]["macs"] / 1e6 == pytest.approx(312, abs=0.5)
    assert reference["mnasnet_small"]["macs"] / 1e6 == pytest.approx(68, abs=0.5)


@pytest.mark.parametrize("name, rows", [("a1", A1), ("b1", B1)])
def test_blocks(name, rows):
    model = graphs.graph(f"mnasnet_{name}").model
    kernels = [x.kernel_size[0] for x in named(model, "_depthwise")]
    assert list(zip([x.filters for x in named(model, "_project")], kernels, strict=True)) == rows
    assert len(named(model, "_expand")) == len(rows) - 1 + len(named(model, "_se_expand"))


def test_se_blocks_have_a_quarter_of_the_input_channels():
    model = graphs.graph("mnasnet_a1").model
    assert [x.filters for x in named(model, "_se_reduce")] == [6, 10, 10, 20, 28, 28, 40, 40]
    assert {x.activation.__name__ for x in named(model, "_se_expand")} == {"sigmoid"}
    assert named(graphs.graph("mnasnet_b1").model, "_se_reduce") == []


def test_small_network():
    """Its first block is added to its input, and its head has no dropout."""
    model = graphs.graph("mnasnet_small").model
    assert [x.name for x in named(model, "_add")][:2] == ["level1_block1_add", "level3_block2_add"]
    assert named(model, "head_dropout") == []
    assert model.get_layer("stem_conv").filters == 8


@pytest.mark.parametrize("padding, epsilon", [(None, 1e-3), ("same", 1e-3), ("symmetric", 1e-5)])
def test_epsilon_depends_on_the_padding(padding, epsilon):
    model = graphs.graph("mnasnet_b1_050", input_shape=(32, 32, 3), padding=padding).model
    assert {x.epsilon for x in named(model, "_bn")} == {epsilon}

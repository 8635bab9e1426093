"""ProxylessNAS: the searched blocks of figure 4, and stages that the zero operation makes shorter."""

import graphs
import pytest

# Figure 4 of arXiv:1812.00332: (expansion, kernel size) of the blocks after the first, by network and channels.
BLOCKS = {
    "gpu": {
        32: [(3, 5)], 56: [(3, 7), (3, 3)], 112: [(6, 7), (3, 5)], 128: [(6, 5), (3, 3), (3, 5)],
        256: [(6, 7), (6, 7), (6, 7), (6, 5)], 432: [(6, 7)],
    },
    "cpu": {
        32: [(6, 3), (3, 3), (3, 3), (3, 3)], 48: [(6, 3), (3, 3), (3, 3), (3, 5)], 88: [(6, 3), (3, 3)],
        104: [(6, 5), (3, 3), (3, 3), (3, 3)], 216: [(6, 5), (3, 5), (3, 5), (3, 3)], 360: [(6, 5)],
    },
    "mobile": {
        32: [(3, 5), (3, 3)], 40: [(3, 7), (3, 3), (3, 5), (3, 5)], 80: [(6, 7), (3, 5), (3, 5), (3, 5)],
        96: [(6, 5), (3, 5), (3, 5), (3, 5)], 192: [(6, 7), (6, 7), (3, 7), (3, 7)], 320: [(6, 7)],
    },
}  # fmt: skip


def searched(model):
    """Returns {channels: [(expansion, kernel size) of each block]} of the blocks after the first."""
    layers = {layer.name: layer for layer in model.layers}
    stages = {}
    for name, layer in layers.items():
        expand = layers.get(name.replace("_project", "_expand"))
        if name.endswith("_project") and expand is not None:
            kernel_size = layers[name.replace("_project", "_depthwise")].kernel_size[0]
            expansion = expand.filters // expand.input.shape[-1]
            stages.setdefault(layer.filters, []).append((expansion, kernel_size))
    return stages


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_figure_4(name):
    assert searched(graphs.graph(f"proxylessnas_{name}").model) == BLOCKS[name]


def test_mobile14_has_the_blocks_of_mobile():
    model = graphs.graph("proxylessnas_mobile14").model
    assert list(searched(model).values()) == list(BLOCKS["mobile"].values())
    assert list(searched(model)) == [40, 56, 112, 136, 256, 448]


def test_activations_are_relu6_and_padding_is_pytorchs():
    model = graphs.graph("proxylessnas_gpu").model
    activations = {x.activation.__name__ for x in model.layers if x.name.endswith("_relu6")}
    assert activations == {"relu6"}
    padded = [x.name for x in model.layers if x.name.endswith("_pad")]
    assert padded == [
        "stem_conv_pad", *[f"level{level}_block1_depthwise_pad" for level in (2, 3, 4, 5)],
    ]  # fmt: skip

"""Networks of self-attention with quadratic positions: costs by arithmetic, layers, and post-norm."""

import graphs
import pytest

import kapps


def costs(depth, width, hidden, heads=9, side=16, classes=10):
    """Returns the parameters and multiply-accumulates of [1], with an input of 2x2 pixels of 3 channels."""
    pixels = side * side
    parameters, macs = 12 * width + width, 12 * width * pixels
    for _ in range(depth):
        kernels = heads * width * width + width * width + 2 * width * hidden
        norms, positions = 4 * width, 6 * heads
        parameters += kernels + 3 * width + hidden + norms + positions
        macs += kernels * pixels + heads * pixels * pixels * width
    return parameters + width * classes + classes, macs + width * classes


@pytest.mark.parametrize(
    "name, sizes",
    [
        ("quadratic_attention3_cifar", (3, 64, 128)),
        ("quadratic_attention6_cifar", (6, 400, 512)),
    ],
)
def test_costs(name, sizes, reference):
    """arXiv:1911.03584 prints 12.1M for the network of six layers."""
    row = reference[name]
    assert (row["trainable"], row["macs"]) == costs(*sizes)


def test_layers_of_the_published_network():
    model = graphs.graph("quadratic_attention6_cifar").model
    heads = [x.heads for x in model.layers if x.name.endswith("_attention")]
    assert heads == [9] * 6
    assert model.get_layer("stem_conv").output.shape == (None, 16, 16, 400)
    assert model.get_layer("level1_block6_norm").epsilon == 1e-12
    assert model.get_layer("level1_block1_attention").output.shape[-1] == 9 * 400


def test_dropout_of_0_has_no_layers():
    names = [
        x.name
        for x in graphs.build(
            kapps.families.quadratic_attention, depth=1, width=8, hidden=8, dropout=0
        ).layers
    ]
    assert not [name for name in names if "dropout" in name]

"""The arithmetic of XNOR-Net's figure 1: memory and operations of binary networks, from their profiles."""

import graphs
import keras
import pytest

import kapps
from kapps.analysis import binary_savings
from kapps.layers import BinaryConv2D


def layer_profile(**options):
    """The example of section 3.3: 256 channels, 3x3, maps of 14x14 pixels."""
    layer = BinaryConv2D(1, 3, padding="same", use_bias=False, name="conv", **options)
    return kapps.profile(keras.Sequential([keras.Input((14, 14, 256)), layer]))


def test_the_papers_example_is_62_times_faster():
    total = binary_savings(layer_profile(binary_input=True)).records[-1]
    assert total["time_saving"] == pytest.approx(62.27, abs=0.005)  # 64 c N / (c N + 64)
    assert total["operations"] == "XNOR, bit count"


def test_cost_of_a_layer():
    profile = layer_profile(binary_input=True, input_scale=True)
    row = profile.row("conv")
    macs, pixels, values = 196 * 9 * 256, 196, 196 * 256
    assert row.macs == row.signed_macs == row.binary_macs == macs
    assert (row.binary_weights, row.packed_bytes) == (9 * 256, 9 * 256 // 8 + 4)
    assert row.additions == values + 9 * pixels  # |x| over the channels, then over the window
    assert row.elementwise == 2 * values + 3 * pixels  # sign, |x|; alpha, the division, K
    real = layer_profile().row("conv")
    assert (real.signed_macs, real.binary_macs, real.elementwise) == (macs, 0, pixels)


@pytest.mark.parametrize(
    "name, operations, least, most", [("bwn", "+, -", 1.99, 2), ("xnor", "XNOR, bit count", 58, 64)]
)
def test_alexnet_saves_what_figure_1_prints(name, operations, least, most):
    """About 32 times the memory; about 2 and 58 times the operations."""
    profile = graphs.graph(f"{name}_alexnet").profile
    table = binary_savings(profile)
    assert len(table.records) == 7 and table.records[-1]["operations"] == operations
    assert table.records[-1]["binary_weights"] == 58_236_928 == profile.binary_weights
    assert profile.signed_macs == 1_025_744_896
    assert table.records[-1]["memory_saving"] == pytest.approx(32, rel=0.01)
    assert least < table.records[-1]["time_saving"] < most
    assert "58,236,928 binary weights" in profile.table()


def test_a_real_network_has_no_savings():
    with pytest.raises(ValueError, match="no binary layer"):
        binary_savings(graphs.graph("resnet20_cifar").profile)

"""Keras layers and functions of layers that two families or more use."""

from kapps.layers.convolution import BATCH_NORM, GroupedConv2D, batch_norm, conv, conv_bn, stock
from kapps.layers.squeeze_excite import squeeze_excite

__all__ = [
    "BATCH_NORM",
    "GroupedConv2D",
    "batch_norm",
    "conv",
    "conv_bn",
    "squeeze_excite",
    "stock",
]

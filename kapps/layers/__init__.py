"""Keras layers and functions of layers that two families or more use."""

from kapps.layers.convolution import (
    BATCH_NORM,
    GroupedConv2D,
    batch_norm,
    conv,
    conv_bn,
    depthwise,
    depthwise_bn,
    max_pool,
)
from kapps.layers.copying import copy_values, stock
from kapps.layers.squeeze_excite import squeeze_excite

__all__ = [
    "BATCH_NORM",
    "GroupedConv2D",
    "batch_norm",
    "conv",
    "conv_bn",
    "copy_values",
    "depthwise",
    "depthwise_bn",
    "max_pool",
    "squeeze_excite",
    "stock",
]

"""Keras layers and functions of layers that two families or more use."""

from kapps.layers.channels import ChannelShuffle, channel_shuffle, split_channels
from kapps.layers.conv_lstm import PeepholeConvLSTM2D, PeepholeConvLSTMCell
from kapps.layers.convolution import (
    GroupedConv2D,
    batch_norm,
    conv,
    conv_bn,
    conv_relu,
    depthwise,
    depthwise_bn,
    max_pool,
)
from kapps.layers.copying import copy_values, stock
from kapps.layers.lrn import LocalResponseNormalization
from kapps.layers.squeeze_excite import squeeze_excite
from kapps.layers.tower import tower
from kapps.layers.weight_norm import WeightNormConv1D

__all__ = [
    "ChannelShuffle",
    "GroupedConv2D",
    "LocalResponseNormalization",
    "PeepholeConvLSTM2D",
    "PeepholeConvLSTMCell",
    "WeightNormConv1D",
    "batch_norm",
    "channel_shuffle",
    "conv",
    "conv_bn",
    "conv_relu",
    "copy_values",
    "depthwise",
    "depthwise_bn",
    "max_pool",
    "split_channels",
    "squeeze_excite",
    "stock",
    "tower",
]

"""Keras layers and functions of layers that two families or more use."""

from kapps.layers.alignment import Alignment
from kapps.layers.attention import MultiHeadAttention
from kapps.layers.channels import ChannelShuffle, channel_shuffle, split_channels
from kapps.layers.conv_lstm import PeepholeConvLSTM2D, PeepholeConvLSTMCell, frame_cross_entropy
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
from kapps.layers.copying import copy_values, to_keras_layers
from kapps.layers.experts import SparseExperts
from kapps.layers.lrn import LocalResponseNormalization
from kapps.layers.maxout import Maxout
from kapps.layers.positions import Positions, SinusoidalPositions
from kapps.layers.self_attention import SelfAttention
from kapps.layers.squeeze_excite import squeeze_excite
from kapps.layers.steps import AtEachStep, BlankPadding, Pairs, Reversed, SegmentMean
from kapps.layers.tower import tower
from kapps.layers.weight_norm import WeightNormConv1D

__all__ = [
    "Alignment",
    "AtEachStep",
    "BlankPadding",
    "ChannelShuffle",
    "GroupedConv2D",
    "LocalResponseNormalization",
    "Maxout",
    "MultiHeadAttention",
    "Pairs",
    "PeepholeConvLSTM2D",
    "PeepholeConvLSTMCell",
    "Positions",
    "Reversed",
    "SegmentMean",
    "SelfAttention",
    "SinusoidalPositions",
    "SparseExperts",
    "WeightNormConv1D",
    "batch_norm",
    "channel_shuffle",
    "conv",
    "conv_bn",
    "conv_relu",
    "copy_values",
    "depthwise",
    "depthwise_bn",
    "frame_cross_entropy",
    "max_pool",
    "split_channels",
    "squeeze_excite",
    "to_keras_layers",
    "tower",
]

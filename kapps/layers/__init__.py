"""Keras layers and functions of layers that two families or more use."""

from kapps._names import attribute_finder
from kapps.layers.active_shift import ActiveShift
from kapps.layers.adaptive_pooling import adaptive_average_pool
from kapps.layers.adaptive_softmax import AdaptiveSoftmax
from kapps.layers.adaptive_span import AdaptiveSpanAttention
from kapps.layers.align_corners_resize import AlignCornersResize
from kapps.layers.all_attention import AllAttention
from kapps.layers.attention_cells import AttentionalCell, ContextFeedingCell, SearchCell
from kapps.layers.attention_reward import AttentionReward
from kapps.layers.attention_rnn import AttentionRNN
from kapps.layers.axial_positional_encoding import AxialPositionalEncoding
from kapps.layers.bilinear_upsampling import (
    BilinearConv2DTranspose,
    BilinearKernel,
    bilinear_upsample,
)
from kapps.layers.binary_convolution import (
    BinaryConv2D,
    PackedBinaryConv2D,
    ZeroMeanClip,
    binary_conv,
)
from kapps.layers.caption_decoder import AnnotationAttention, CaptionDecoder, GatedContextCell
from kapps.layers.channel_pool import ChannelPool
from kapps.layers.channels import ChannelShuffle, PadChannels, channel_shuffle, split_channels
from kapps.layers.conditional_batch_norm import ClassAffine, conditional_batch_norm
from kapps.layers.convolution import (
    average_pool,
    batch_norm,
    conv,
    conv_bn,
    conv_norm,
    conv_relu,
    depthwise,
    depthwise_bn,
    depthwise_norm,
    layer_norm,
    max_pool,
)
from kapps.layers.cross_layer_depthwise import CrossLayerDepthwiseConv2D
from kapps.layers.double_attention import DoubleAttention
from kapps.layers.drop_path import DropPath
from kapps.layers.encoder_decoder_attention import Alignment
from kapps.layers.fast_layer_normalization import FastLayerNormalization
from kapps.layers.fast_recurrent import FastGRU, FastLSTM, FastSimpleRNN
from kapps.layers.feed_forward import FeedForward, sigmoid_gelu
from kapps.layers.fused_dense import FusedDense
from kapps.layers.gated_linear_unit import GatedLinearUnit
from kapps.layers.grouped_convolution import GroupedConv2D
from kapps.layers.halting import AdaptiveComputationTime, HaltingStep, HaltingUnit
from kapps.layers.inverted_residual import add_where_equal, inverted_residual, make_divisible
from kapps.layers.layer_scale import LayerScale
from kapps.layers.learned_spans import freeze_spans, learned_spans, span_penalty
from kapps.layers.lightweight_convolution import DynamicConv1D, LightweightConv1D
from kapps.layers.lrn import LocalResponseNormalization
from kapps.layers.lsh_attention import LSHAttention
from kapps.layers.lstmn_cell import LSTMNCell
from kapps.layers.max_unpooling import MaxPoolWithIndices, MaxUnpool
from kapps.layers.maxout import Maxout
from kapps.layers.multi_head_area_attention import MultiHeadAreaAttention
from kapps.layers.multi_head_attention import MultiHeadAttention
from kapps.layers.padding import current_padding, published_epsilon, strided_padding
from kapps.layers.part_attention import PartAttention
from kapps.layers.peephole_conv_lstm import (
    PeepholeConvLSTM2D,
    PeepholeConvLSTMCell,
)
from kapps.layers.pixel_attention import PixelAttention
from kapps.layers.pointers import PointedInputs, PointerScores
from kapps.layers.portable import copy_values, to_keras_layers
from kapps.layers.positional_encoding import (
    LearnedPositionalEncoding,
    SinusoidalPositionalEncoding,
    StepEncoding,
)
from kapps.layers.product_keys import ProductKeyMemory
from kapps.layers.quadratic_attention_2d import QuadraticAttention2D, attention_as_conv
from kapps.layers.recurrent_cells import (
    CoupledLSTMCell,
    GRUCell,
    LearnedState,
    MultiplicativeLSTMCell,
    PeepholeLSTMCell,
)
from kapps.layers.relative_attention_2d import RelativeAttention2D
from kapps.layers.relative_position_scores import RelativePositionScores
from kapps.layers.reversible_stack import ReversibleStack
from kapps.layers.self_attention import SelfAttention
from kapps.layers.self_attentive_pooling import SelfAttentivePooling
from kapps.layers.sentence_memory import MemoryHop, SentenceEmbedding, SentenceTimes, SplitQuestion
from kapps.layers.sequence_convolution import SequenceConv1D, SequenceSeparableConv1D
from kapps.layers.shift import Shift
from kapps.layers.sparse_attention import SparseAttention
from kapps.layers.sparse_mixture_of_experts import SparseMixtureOfExperts
from kapps.layers.spatial_sizes import (
    CropLike,
    ResizeLike,
    crop_like,
    double_like,
    resize_like,
)
from kapps.layers.spectral_norm import (
    SpectralNorm,
    SpectralNormConv2D,
    SpectralNormDense,
    SpectralNormEmbedding,
)
from kapps.layers.squeeze_excite import squeeze_excite
from kapps.layers.synthesizer_attention import SynthesizerAttention
from kapps.layers.time_steps import (
    BlankPadding,
    ConcatenateContext,
    ConcatenatePairs,
    ReverseSequence,
    SegmentMean,
    ZeroFirstStep,
)
from kapps.layers.token_exits import (
    ChosenExit,
    ExitDistribution,
    GeometricDistribution,
    JointScores,
    LargestProbability,
)
from kapps.layers.turing_machine_cell import TuringMachineCell
from kapps.layers.weight_norm import WeightNormConv1D
from kapps.layers.weighted_sum import WeightedSum

__all__ = [
    "ActiveShift",
    "AdaptiveComputationTime",
    "AdaptiveSoftmax",
    "AdaptiveSpanAttention",
    "AlignCornersResize",
    "Alignment",
    "AllAttention",
    "AnnotationAttention",
    "AttentionRNN",
    "AttentionReward",
    "AttentionalCell",
    "AxialPositionalEncoding",
    "BilinearConv2DTranspose",
    "BilinearKernel",
    "BinaryConv2D",
    "BlankPadding",
    "CaptionDecoder",
    "ChannelPool",
    "ChannelShuffle",
    "ChosenExit",
    "ClassAffine",
    "ConcatenateContext",
    "ConcatenatePairs",
    "ContextFeedingCell",
    "CoupledLSTMCell",
    "CropLike",
    "CrossLayerDepthwiseConv2D",
    "DoubleAttention",
    "DropPath",
    "DynamicConv1D",
    "ExitDistribution",
    "FastGRU",
    "FastLSTM",
    "FastLayerNormalization",
    "FastSimpleRNN",
    "FeedForward",
    "FusedDense",
    "GRUCell",
    "GatedContextCell",
    "GatedLinearUnit",
    "GeometricDistribution",
    "GroupedConv2D",
    "HaltingStep",
    "HaltingUnit",
    "JointScores",
    "LSHAttention",
    "LSTMNCell",
    "LargestProbability",
    "LayerScale",
    "LearnedPositionalEncoding",
    "LearnedState",
    "LightweightConv1D",
    "LocalResponseNormalization",
    "MaxPoolWithIndices",
    "MaxUnpool",
    "Maxout",
    "MemoryHop",
    "MultiHeadAreaAttention",
    "MultiHeadAttention",
    "MultiplicativeLSTMCell",
    "PackedBinaryConv2D",
    "PadChannels",
    "PartAttention",
    "PeepholeConvLSTM2D",
    "PeepholeConvLSTMCell",
    "PeepholeLSTMCell",
    "PixelAttention",
    "PointedInputs",
    "PointerScores",
    "ProductKeyMemory",
    "QuadraticAttention2D",
    "RelativeAttention2D",
    "RelativePositionScores",
    "ResizeLike",
    "ReverseSequence",
    "ReversibleStack",
    "SearchCell",
    "SegmentMean",
    "SelfAttention",
    "SelfAttentivePooling",
    "SentenceEmbedding",
    "SentenceTimes",
    "SequenceConv1D",
    "SequenceSeparableConv1D",
    "Shift",
    "SinusoidalPositionalEncoding",
    "SparseAttention",
    "SparseMixtureOfExperts",
    "SpectralNorm",
    "SpectralNormConv2D",
    "SpectralNormDense",
    "SpectralNormEmbedding",
    "SplitQuestion",
    "StepEncoding",
    "SynthesizerAttention",
    "TuringMachineCell",
    "WeightNormConv1D",
    "WeightedSum",
    "ZeroFirstStep",
    "ZeroMeanClip",
    "adaptive_average_pool",
    "add_where_equal",
    "attention_as_conv",
    "average_pool",
    "batch_norm",
    "bilinear_upsample",
    "binary_conv",
    "channel_shuffle",
    "conditional_batch_norm",
    "conv",
    "conv_bn",
    "conv_norm",
    "conv_relu",
    "copy_values",
    "crop_like",
    "current_padding",
    "depthwise",
    "depthwise_bn",
    "depthwise_norm",
    "double_like",
    "freeze_spans",
    "inverted_residual",
    "layer_norm",
    "learned_spans",
    "make_divisible",
    "max_pool",
    "published_epsilon",
    "resize_like",
    "sigmoid_gelu",
    "span_penalty",
    "split_channels",
    "squeeze_excite",
    "strided_padding",
    "to_keras_layers",
]

__getattr__ = attribute_finder(__name__)

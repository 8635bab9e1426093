"""The sizes of layers: a value that no layer can have raises an error when the layer is made."""

import numpy as np
import pytest

from kapps import layers
from kapps.layers.drop_path import DropPath
from kapps.layers.encoder_decoder_attention import Alignment
from kapps.layers.maxout import Maxout
from kapps.layers.positional_encoding import LearnedPositionalEncoding
from kapps.layers.recurrent_cells import LearnedState
from kapps.layers.time_steps import SegmentMean

LAYERS = [
    (layers.AdaptiveSpanAttention, {"heads": 2, "span": 8, "ramp": 3, "limit": 4, "block": 2}),
    (layers.AllAttention, {"heads": 2, "span": 8, "persistent": 4}),
    (layers.BinaryConv2D, {"filters": 4, "kernel_size": 3}),
    (layers.ActiveShift, {"strides": 2, "limit": 3}),
    (layers.ChannelShuffle, {"groups": 2}),
    (layers.ClassAffine, {"classes": 3}),
    (layers.FastGRU, {"units": 4}),
    (layers.FastLSTM, {"units": 4}),
    (layers.FastSimpleRNN, {"units": 4}),
    (layers.FusedDense, {"units": 4}),
    (layers.AdaptiveSoftmax, {"classes": 9}),
    (layers.DynamicConv1D, {"heads": 2, "kernel_size": 3}),
    (layers.GroupedConv2D, {"filters": 4, "kernel_size": 3, "groups": 2}),
    (layers.LightweightConv1D, {"heads": 2, "kernel_size": 3}),
    (layers.MaxPoolWithIndices, {"size": 2}),
    (layers.MaxUnpool, {"size": 2}),
    (
        layers.LSHAttention,
        {"heads": 2, "key_dim": 4, "value_dim": 3, "buckets": 4, "rounds": 2, "chunk": 8},
    ),
    (layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 4, "chunk": 8}),
    (layers.MultiHeadAreaAttention, {"num_heads": 2, "key_dim": 4, "max_width": 3}),
    (layers.ProductKeyMemory, {"sub_keys": 4, "k": 2, "heads": 2, "key_dim": 4, "units": 3}),
    (layers.QuadraticAttention2D, {"heads": 2}),
    (
        layers.RelativeAttention2D,
        {"heads": 2, "key_dim": 4, "value_dim": 3, "height": 7, "width": 5},
    ),
    (layers.RelativePositionScores, {"heads": 2, "span": 8}),
    (layers.SynthesizerAttention, {"heads": 2, "key_dim": 4, "length": 9, "rank": 3}),
    (layers.StepEncoding, {"step": 2}),
    (layers.LSTMNCell, {"units": 4, "tape": 3}),
    (layers.SelfAttentivePooling, {"hops": 2, "units": 4}),
    (layers.SentenceEmbedding, {"input_dim": 5, "width": 4}),
    (layers.SentenceTimes, {"memories": 4}),
    (
        layers.TuringMachineCell,
        {"units": 4, "rows": 5, "width": 3, "read_heads": 2, "write_heads": 1},
    ),
    (layers.PadChannels, {"width": 3}),
    (layers.Shift, {"kernel_size": 3, "dilation": 2}),
    (layers.SelfAttention, {"heads": 2, "key_dim": 4, "value_dim": 3, "output_dim": 5}),
    (layers.AxialPositionalEncoding, {"lengths": [4]}),
    (layers.FeedForward, {"units": 4, "chunk": 8}),
    (layers.SparseAttention, {"heads": 2, "key_dim": 4, "value_dim": 3, "stride": 4}),
    (layers.SparseMixtureOfExperts, {"experts": 4, "k": 2, "hidden": 8}),
    (Alignment, {"width": 3}),
    (DropPath, {"rate": 0.1, "steps": 9}),
    (LearnedPositionalEncoding, {"length": 9}),
    (LearnedState, {"sizes": [4]}),
    (Maxout, {"pool": 2}),
    (SegmentMean, {"size": 2}),
]


def test_sizes_are_positive_integers_that_a_layer_can_have():
    for layer, arguments in LAYERS:
        layer(**arguments)
        for option, value in arguments.items():
            if option in ("rate", "kernel_size"):  # a fraction; an argument that Keras checks
                continue
            for bad in (0, -1, 1.5, True, "a", 10**15, float("nan"), np.inf):
                wrong = [bad] if isinstance(value, list) else bad
                with pytest.raises((ValueError, TypeError)) as error:
                    layer(**{**arguments, option: wrong})
                message = str(error.value)
                assert option in message and "\n" not in message, (layer, option, bad)

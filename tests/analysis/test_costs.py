"""The cost of each kind of layer, computed by hand."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import kapps

CONVOLUTIONS = [
    # 8x6x4, 3x3 to 10 filters, "same": 48 positions, 36 products for each output; one bias for each output
    (layers.Conv2D(10, 3, padding="same"), (8, 6, 4), 48 * 10 * 36, 480, 0, 370),
    # valid: 6x4 positions; a ReLU is one operation for each output
    (layers.Conv2D(10, 3, activation="relu"), (8, 6, 4), 24 * 10 * 36, 240, 240, 370),
    # stride 2: ceil(8 / 2) x ceil(6 / 2) positions
    (
        layers.Conv2D(10, 3, strides=2, padding="same", use_bias=False),
        (8, 6, 4),
        12 * 360,
        0,
        0,
        360,
    ),
    # two groups of 2 channels: half the products
    (layers.Conv2D(10, 3, groups=2, padding="same"), (8, 6, 4), 48 * 10 * 18, 480, 0, 190),
    (kapps.layers.GroupedConv2D(8, 3, groups=4, padding="same"), (8, 6, 4), 48 * 8 * 9, 384, 0, 80),
    # dilated by 2, a 3x3 kernel spans 5x5: 4x2 positions, the same number of products for each
    (layers.Conv2D(10, 3, dilation_rate=2), (8, 6, 4), 8 * 360, 80, 0, 370),
    (layers.Conv1D(5, 3, padding="causal"), (7, 2), 7 * 5 * 6, 35, 0, 35),
    (layers.Conv1D(5, 3, strides=2), (7, 2), 3 * 5 * 6, 15, 0, 35),
    (layers.Conv3D(5, (1, 2, 3)), (2, 3, 4, 2), 2 * 2 * 2 * 5 * 12, 40, 0, 65),
    # depthwise: 9 products for each output; 2 outputs for each channel
    (
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
        (8, 6, 4),
        48 * 8 * 9,
        384,
        0,
        80,
    ),
    (layers.DepthwiseConv1D(3), (7, 2), 5 * 2 * 3, 10, 0, 8),
    # separable: 3x3 on each of 3 channels, then 1x1 to 10; 27 + 30 weights and 10 biases
    (layers.SeparableConv2D(10, 3, padding="same"), (8, 6, 3), 48 * (27 + 30), 480, 0, 67),
    (layers.SeparableConv1D(5, 3, depth_multiplier=2), (7, 2), 5 * (4 * 3 + 4 * 5), 25, 0, 37),
    # transposed: each input is multiplied by the whole kernel; 16x12 outputs
    (layers.Conv2DTranspose(10, 3, strides=2, padding="same"), (8, 6, 4), 48 * 360, 1920, 0, 370),
    (layers.Conv1DTranspose(5, 4, strides=2), (7, 2), 7 * 2 * 20, 16 * 5, 0, 45),
    (layers.Conv3DTranspose(2, 2, strides=2), (2, 2, 2, 3), 8 * 3 * 16, 64 * 2, 0, 50),
]
OTHERS = [
    (layers.Dense(7), (5,), 35, 7, 0, 42),
    # for each of 10 steps
    (layers.Dense(7, activation="sigmoid", use_bias=False), (10, 5), 350, 0, 70, 35),
    (layers.EinsumDense("abc,cde->abde", (10, 2, 3), bias_axes="de"), (10, 5), 10 * 30, 60, 0, 36),
    (layers.EinsumDense("...x,xy->...y", 7), (2, 3, 5), 6 * 35, 0, 0, 35),
    (layers.Embedding(100, 8), (10,), 0, 0, 0, 800),
    # 4x4 outputs of 3 channels: 3 comparisons each, or 3 additions and a division
    (layers.MaxPooling2D(2), (8, 8, 3), 0, 0, 48 * 3, 0),
    (layers.AveragePooling2D(2), (8, 8, 3), 0, 48 * 3, 48, 0),
    (layers.MaxPooling1D(3, strides=2, padding="same"), (8, 3), 0, 0, 12 * 2, 0),
    (layers.AveragePooling3D(2), (4, 4, 4, 3), 0, 24 * 7, 24, 0),
    (layers.GlobalAveragePooling2D(), (8, 8, 3), 0, 63 * 3, 3, 0),
    (layers.GlobalMaxPooling1D(), (8, 3), 0, 0, 7 * 3, 0),
    (layers.AdaptiveAveragePooling2D(2), (8, 8, 3), 0, 15 * 12, 12, 0),
    (layers.BatchNormalization(), (4, 4, 3), 0, 48, 48, 12),
    # additions: mean, difference, variance, beta; elementwise: square, division, gamma
    (layers.LayerNormalization(), (10, 5), 0, 4 * 50, 3 * 50, 10),
    (layers.LayerNormalization(center=False, scale=False), (10, 5), 0, 3 * 50, 2 * 50, 0),
    (layers.GroupNormalization(3), (4, 4, 6), 0, 4 * 96, 3 * 96, 12),
    (layers.RMSNormalization(), (10, 5), 0, 50, 150, 5),
    (layers.UnitNormalization(), (10, 5), 0, 50, 100, 0),
    (layers.Activation("gelu"), (10, 5), 0, 0, 50, 0),
    (layers.Activation("hard_silu"), (10, 5), 0, 0, 50, 0),
    (layers.Dense(7, activation="hard_sigmoid", use_bias=False), (10, 5), 350, 0, 70, 35),
    (layers.Activation("linear"), (10, 5), 0, 0, 0, 0),
    (layers.Activation("softmax"), (10, 5), 0, 50, 100, 0),
    (layers.Softmax(), (10, 5), 0, 50, 100, 0),
    (layers.ReLU(6.0), (10, 5), 0, 0, 50, 0),
    (layers.LeakyReLU(), (10, 5), 0, 0, 100, 0),
    (layers.PReLU(), (10, 5), 0, 0, 100, 50),
    (layers.ELU(), (10, 5), 0, 0, 50, 0),
    (layers.Dropout(0.5), (10, 5), 0, 0, 0, 0),
    (layers.RandomFlip(), (4, 4, 3), 0, 0, 0, 0),
    (layers.Rescaling(2.0), (4, 4, 3), 0, 48, 48, 0),
    (layers.Normalization(mean=[1.0, 2, 3], variance=[1.0, 1, 1]), (4, 4, 3), 0, 48, 48, 0),
    (layers.Flatten(), (4, 4, 3), 0, 0, 0, 0),
    (layers.Reshape((2, 24)), (4, 4, 3), 0, 0, 0, 0),
    (layers.Permute((2, 1)), (4, 3), 0, 0, 0, 0),
    (layers.RepeatVector(4), (3,), 0, 0, 0, 0),
    (layers.ZeroPadding2D(1), (4, 4, 3), 0, 0, 0, 0),
    (layers.Cropping2D(1), (4, 4, 3), 0, 0, 0, 0),
    (layers.UpSampling2D(2), (4, 4, 3), 0, 0, 0, 0),
    # two products and a sum along each of two axes, for each of 8x8x3 outputs
    (layers.UpSampling2D(2, interpolation="bilinear"), (4, 4, 3), 0, 2 * 192, 4 * 192, 0),
    (layers.Resizing(6, 4, interpolation="bilinear"), (4, 4, 3), 0, 72, 2 * 72, 0),
]
RECURRENT = [
    # for each gate and step: u (inputs + u) products, u additions of both, u of the bias, u activations
    (layers.SimpleRNN(7), (10, 5), 10 * 7 * 12, 10 * 7 * 2, 10 * 7, 7 * 12 + 7),
    # four gates and the tanh of the cell state; f c + i g, o tanh(c)
    (layers.LSTM(7), (10, 5), 10 * 4 * 84, 10 * 7 * (4 + 4 + 1), 10 * 7 * (5 + 3), 4 * 91),
    (layers.LSTM(7, use_bias=False), (10, 5), 10 * 4 * 84, 10 * 7 * 5, 10 * 7 * 8, 4 * 84),
    # return_sequences does not change the cost
    (layers.LSTM(7, return_sequences=True), (10, 5), 10 * 336, 10 * 63, 10 * 56, 364),
    # three gates with two biases each; 1 - z, z h + (1 - z) n, r h
    (layers.GRU(7), (10, 5), 10 * 3 * 84, 10 * 7 * (3 + 6 + 2), 10 * 7 * (3 + 3), 3 * 84 + 42),
    (layers.GRU(7, reset_after=False), (10, 5), 10 * 252, 10 * 7 * 8, 10 * 7 * 6, 3 * 84 + 21),
    (layers.RNN(layers.LSTMCell(7)), (10, 5), 10 * 4 * 84, 10 * 63, 10 * 56, 364),
    # an LSTM with 5 inputs and a GRU with 7
    (layers.RNN([layers.LSTMCell(7), layers.GRUCell(3)]), (10, 5), 10 * (336 + 90), 960, 10 * (56 + 18), 472),
    (layers.Bidirectional(layers.LSTM(7)), (10, 5), 20 * 336, 20 * 63, 20 * 56, 728),
    (layers.Bidirectional(layers.LSTM(7), merge_mode="sum"), (10, 5), 20 * 336, 20 * 63 + 7, 20 * 56, 728),
    (layers.TimeDistributed(layers.Dense(7)), (10, 5), 350, 70, 0, 42),
    (layers.TimeDistributed(layers.Conv2D(2, 3)), (3, 5, 5, 4), 3 * 9 * 72, 54, 0, 74),
    # 3x3 on 4 + 2 channels, four gates of 2 filters, 3x3 positions
    (layers.ConvLSTM2D(2, 3), (10, 5, 5, 4), 10 * 9 * 8 * 54, 10 * 18 * 9, 10 * 18 * 8, 8 * 54 + 8),
    (layers.ConvLSTM1D(2, 3, padding="same"), (10, 5, 4), 10 * 5 * 8 * 18, 10 * 10 * 9, 10 * 10 * 8, 8 * 18 + 8),
]  # fmt: skip


@pytest.mark.parametrize(
    "layer, shape, macs, additions, elementwise, parameters",
    CONVOLUTIONS + OTHERS + RECURRENT,
    ids=lambda value: value.name if isinstance(value, keras.layers.Layer) else "",
)
def test_cost_of_a_layer(layer, shape, macs, additions, elementwise, parameters):
    dtype = "int32" if isinstance(layer, layers.Embedding) else "float32"
    profile = kapps.profile(keras.Sequential([keras.Input(shape, dtype=dtype), layer]))
    assert (profile.macs, profile.additions, profile.elementwise) == (macs, additions, elementwise)
    assert profile.parameters == parameters == layer.count_params()


CONVOLUTION_CLASSES = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D)
UNPADDED = [
    row[:2]
    for row in CONVOLUTIONS
    if isinstance(row[0], CONVOLUTION_CLASSES) and row[0].padding == "valid"
]


@pytest.mark.parametrize("layer, shape", UNPADDED)
def test_macs_are_the_number_of_products(layer, shape):
    """With weights and inputs of 1 and no padding, an output is the number of its products."""
    model = keras.Sequential([keras.Input(shape), layer])
    for variable in model.weights:
        variable.assign(np.full(variable.shape, float("bias" not in variable.path)))
    outputs = keras.ops.convert_to_numpy(model(np.ones((1, *shape), "float32")))
    assert kapps.profile(model).macs == outputs.sum() > 0


def test_multi_head_attention():
    query, value = keras.Input((10, 16)), keras.Input((12, 6))
    output = layers.MultiHeadAttention(2, 4, value_dim=3, output_shape=5)(query, value)
    profile = kapps.profile(keras.Model([query, value], output))
    projections = 10 * 16 * 2 * 4 + 12 * 6 * 2 * 4 + 12 * 6 * 2 * 3
    scores, context, output_projection = 10 * 12 * 2 * 4, 10 * 12 * 2 * 3, 10 * 2 * 3 * 5
    assert profile.macs == projections + scores + context + output_projection
    biases = 10 * 8 + 12 * 8 + 12 * 6 + 10 * 5
    assert profile.additions == biases + 10 * 12 * 2  # and the sum of the softmax
    assert profile.elementwise == 3 * 10 * 12 * 2  # scale, exponential, division
    assert profile.parameters == (16 + 1) * 8 + (6 + 1) * 8 + (6 + 1) * 6 + 6 * 5 + 5


def test_attention_grows_with_the_square_of_the_length():
    macs = []
    for length in (16, 32):
        sequence = keras.Input((length, 8))
        layer = layers.MultiHeadAttention(2, 4, use_bias=False)
        macs.append(kapps.profile(keras.Model(sequence, layer(sequence, sequence))).macs)
    projections = 4 * 8 * 8
    assert macs == [16 * projections + 2 * 8 * 16**2, 32 * projections + 2 * 8 * 32**2]


def test_grouped_query_attention():
    sequence = keras.Input((10, 16))
    layer = layers.GroupQueryAttention(4, 6, 2, use_bias=False)
    profile = kapps.profile(keras.Model(sequence, layer(sequence, sequence)))
    assert profile.macs == 10 * 16 * (24 + 8 + 8) + 2 * 6 * 10 * 10 * 4 + 10 * 24 * 16


@pytest.mark.parametrize(
    "layer, macs, parameters",
    [
        (layers.Attention(), 10 * 12 * (4 + 4), 0),
        (layers.AdditiveAttention(), 10 * 12 * (4 + 4), 4),
        (layers.Dot(axes=(2, 2)), 10 * 12 * 4, 0),
    ],
)
def test_attention_without_projections(layer, macs, parameters):
    query, value = keras.Input((10, 4)), keras.Input((12, 4))
    profile = kapps.profile(keras.Model([query, value], layer([query, value])))
    assert (profile.macs, profile.parameters) == (macs, parameters)


@pytest.mark.parametrize(
    "layer, additions, elementwise",
    [
        (layers.Add(), 2 * 12, 0),
        (layers.Average(), 2 * 12, 12),
        (layers.Multiply(), 0, 2 * 12),
        (layers.Maximum(), 0, 2 * 12),
        (layers.Concatenate(), 0, 0),
    ],
)
def test_merging_three(layer, additions, elementwise):
    inputs = [keras.Input((4, 3)) for _ in range(3)]
    profile = kapps.profile(keras.Model(inputs, layer(inputs)))
    assert (profile.macs, profile.additions, profile.elementwise) == (0, additions, elementwise)


OPERATIONS = [
    (lambda x: x + 1.0, 0, 96, 0),
    (lambda x: ops.relu(x) * x, 0, 0, 192),
    (lambda x: ops.sum(x, axis=-1), 0, 96 - 16, 0),
    (lambda x: ops.mean(x, axis=(1, 2), keepdims=True), 0, 96 - 6, 6),
    (lambda x: ops.max(x, axis=-1), 0, 0, 96 - 16),
    (lambda x: ops.softmax(x), 0, 96, 192),
    (lambda x: ops.matmul(x, np.ones((6, 5), "float32")), 96 * 5, 0, 0),
    (lambda x: ops.einsum("bhwc,bhwd->bcd", x, x), 16 * 36, 0, 0),
    (lambda x: ops.einsum("bhwc->bc", x), 0, 96 - 6, 0),
    (lambda x: ops.tensordot(x, np.ones((6, 5), "float32"), axes=1), 96 * 5, 0, 0),
    (lambda x: ops.conv(x, np.ones((3, 3, 6, 9), "float32"), padding="same"), 16 * 9 * 54, 0, 0),
    (lambda x: ops.depthwise_conv(x, np.ones((3, 3, 6, 2), "float32")), 4 * 12 * 9, 0, 0),
    (
        lambda x: ops.separable_conv(
            x, np.ones((3, 3, 6, 2), "float32"), np.ones((1, 1, 12, 5), "float32")
        ),
        4 * (9 * 12 + 60),
        0,
        0,
    ),
    (lambda x: ops.conv_transpose(x, np.ones((2, 2, 5, 6), "float32"), strides=2), 96 * 20, 0, 0),
    (lambda x: ops.max_pool(x, 2, 2), 0, 0, 24 * 3),
    (lambda x: ops.average_pool(x, 2, 2), 0, 24 * 3, 24),
    (lambda x: ops.transpose(ops.reshape(x, (-1, 4, 4, 2, 3)), (0, 1, 2, 4, 3)), 0, 0, 0),
    (lambda x: ops.concatenate([x, x[..., :2]], axis=-1), 0, 0, 0),
    (lambda x: ops.image.resize(x, (8, 4)), 0, 192, 2 * 192),
    (lambda x: ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 0, 0, 0),
    (lambda x: ops.roll(x, 1, axis=1), 0, 0, 0),  # a shift
    (lambda x: ops.dot_product_attention(x, x, x), 4 * 4 * 4 * 2 * 6, 64, 3 * 64),
]


@pytest.mark.parametrize("function, macs, additions, elementwise", OPERATIONS)
def test_operations(function, macs, additions, elementwise):
    x = keras.Input((4, 4, 6))
    profile = kapps.profile(keras.Model(x, function(x)))
    assert (profile.macs, profile.additions, profile.elementwise) == (macs, additions, elementwise)


def test_all_costs_but_parameters_grow_with_the_batch():
    model = keras.Sequential([keras.Input((8, 6, 4)), layers.Conv2D(10, 3)])
    one, many = kapps.profile(model), kapps.profile(model, batch=5)
    assert many.macs == 5 * one.macs and many.additions == 5 * one.additions
    assert many.parameters == one.parameters and many.inputs == ((5, 8, 6, 4),)
    assert many.output_bytes == 5 * one.output_bytes == 5 * 4 * math.prod((6, 4, 10))

"""Receptive fields, compared with gradients and with published values."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import kapps
from kapps.cnn import resnet


def gradient_fields(model):
    """Returns, for each axis and unit, the first and last position of the input with a non-zero gradient.

    All weights and inputs are positive, so that gradients do not cancel and no ReLU is inactive. Several random inputs
    are used, so that each position of a max pooling window is the largest at least once.
    """
    import tensorflow as tf

    for variable in model.weights:
        is_offset = variable.path.endswith(("bias", "beta", "moving_mean"))
        value = 0 if is_offset else 1 / math.prod(variable.shape[:-1])  # no sigmoid saturates
        variable.assign(np.full(variable.shape, value))
    shape = model.input_shape[1:]
    x = tf.constant(np.random.default_rng(0).uniform(0.1, 1, (16, *shape)).astype("float32"))
    fields = []
    for axis in range(len(shape) - 1):
        intervals = []
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = model(x, training=False)
            has_axis = len(y.shape) == len(shape) + 1
            units = tf.unstack(y, axis=axis + 1) if has_axis else [y]
            totals = [tf.reduce_sum(unit) for unit in units]
        for total in totals:
            gradient = np.abs(tape.gradient(total, x).numpy())
            sums = gradient.sum(axis=tuple(i for i in range(gradient.ndim) if i != axis + 1))
            positions = np.flatnonzero(sums > 0)
            intervals.append((positions[0], positions[-1]))
        fields.append(intervals)
    return fields


def compare_with_gradients(model, exact=True):
    """Compares the receptive field with gradients: start and end of every unit that sees no padding.

    At the edges, the gradient's interval is contained in the receptive field. Units of upsampled maps differ
    (`exact=False`): only the largest is compared.
    """
    fields = kapps.profile(model).rows[-1].receptive_field
    for field, intervals, side in zip(
        fields, gradient_fields(model), model.input_shape[1:-1], strict=True
    ):
        inside = 0
        for i, (first, last) in enumerate(intervals):
            low = math.ceil(field.offset + i * field.stride)
            high = low + field.size - 1
            if exact and low >= 0 and high < side:
                inside += 1
                assert (first, last) == (low, high), (field, i, intervals)
            assert last - first < field.size, (field, i, intervals)
            assert not exact or (first >= low and last <= high), (field, i, intervals)
        assert inside or not exact, "every unit sees padding"
        assert max(last - first + 1 for first, last in intervals) == min(field.size, side)
    return fields


def sequential(*members, shape=(40, 31, 2)):
    return keras.Sequential([keras.Input(shape), *members])


STACKS = [
    [layers.Conv2D(2, 3)],
    [layers.Conv2D(2, (5, 2), strides=(2, 1), padding="same"), layers.Conv2D(2, 3, padding="same")],
    [layers.Conv2D(2, 3, dilation_rate=2), layers.Conv2D(2, 3, dilation_rate=3, padding="same")],
    [layers.ZeroPadding2D(((1, 2), (2, 0))), layers.DepthwiseConv2D(3, strides=2)],
    [layers.Cropping2D(((2, 0), (1, 3))), layers.SeparableConv2D(2, 3, strides=2)],
    [layers.Conv2D(4, 3), kapps.layers.GroupedConv2D(4, 3, groups=2, activation="relu"), layers.BatchNormalization()],
    [layers.MaxPooling2D(3, strides=2, padding="same"), layers.AveragePooling2D(2)],
    [layers.Conv2D(2, 7, strides=2, padding="same"), layers.MaxPooling2D(3, strides=2), layers.Conv2D(2, 3)],
    [layers.Conv2D(2, 3, strides=2), layers.GlobalAveragePooling2D(keepdims=True)],
    [layers.Conv2D(2, 3, strides=3), layers.Flatten(), layers.Dense(3)],
    [layers.LayerNormalization(), layers.Dense(4, activation="relu"), layers.Conv2D(2, 3)],
    [layers.Conv2D(2, 3), layers.Permute((2, 1, 3)), layers.Permute((2, 1, 3))],
    [layers.Reshape((40, 31, 2, 1)), layers.Permute((1, 2, 4, 3)), layers.Reshape((40, 31, 2)), layers.Conv2D(2, 3)],
]  # fmt: skip


@pytest.mark.tensorflow
@pytest.mark.parametrize("stack", STACKS)
def test_receptive_field_agrees_with_gradients(stack):
    compare_with_gradients(sequential(*stack))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "shape, stack",
    [
        ((50, 3), [layers.Conv1D(2, 3, dilation_rate=2**i, padding="causal") for i in range(4)]),
        ((50, 3), [layers.Conv1D(2, 4, strides=2, padding="same"), layers.MaxPooling1D(2)]),
        ((12, 10, 9, 2), [layers.Conv3D(2, 3, padding="same"), layers.Conv3D(2, (1, 2, 3), strides=2)]),
    ],
)  # fmt: skip
def test_receptive_field_in_one_and_three_dimensions(shape, stack):
    compare_with_gradients(sequential(*stack, shape=shape))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "stack",
    [
        [layers.Conv2DTranspose(2, 3, strides=2, padding="same")],
        [layers.Conv2DTranspose(2, 4, strides=2, padding="same"), layers.Conv2D(2, 3)],
        [layers.Conv2DTranspose(2, 5, strides=3)],
        [layers.Conv2D(2, 3, strides=2, padding="same"), layers.Conv2DTranspose(2, 2, strides=2)],
        [layers.UpSampling2D(2), layers.Conv2D(2, 3, padding="same")],
        [layers.UpSampling2D(2, interpolation="bilinear")],
    ],
)
def test_receptive_field_of_an_upsampled_map_is_the_largest(stack):
    fields = compare_with_gradients(sequential(*stack, shape=(12, 11, 2)), exact=False)
    assert all(field.stride <= 1 for field in fields)


@pytest.mark.tensorflow
def test_receptive_field_of_branches_is_their_union():
    image = keras.Input((30, 30, 2))
    large = layers.Conv2D(2, 7, padding="same")(image)
    small = layers.Conv2D(2, 3, padding="same")(image)
    joined = layers.Concatenate()([large, layers.Add()([small, image])])
    first, _ = compare_with_gradients(keras.Model(image, layers.MaxPooling2D(2)(joined)))
    assert (first.size, first.stride, first.offset) == (8, 2, -3)


@pytest.mark.tensorflow
def test_squeeze_and_excitation_sees_the_whole_map():
    image = keras.Input((16, 16, 4))
    output = kapps.layers.squeeze_excite(layers.Conv2D(4, 3, padding="same")(image), 2, name="se")
    model = keras.Model(image, output)
    fields = kapps.profile(model).rows[-1].receptive_field
    assert [(field.size, field.stride) for field in fields] == [(16, 1), (16, 1)]
    assert all(intervals == [(0, 15)] * 16 for intervals in gradient_fields(model))


def test_a_second_gate_of_a_vector_keeps_the_stride():
    """A gate without the axes of the map has no stride of its own."""
    image = keras.Input((16, 16, 4))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    for _ in range(2):
        gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
        x = layers.Multiply()([x, layers.Reshape((1, 1, 4))(gate)])
        fields = kapps.profile(keras.Model(image, x)).rows[-1].receptive_field
        assert [(field.size, field.stride) for field in fields] == [(16, 2), (16, 2)]


@pytest.mark.tensorflow
def test_channel_shuffle_does_not_change_the_receptive_field():
    image = keras.Input((20, 20, 4))
    x = ops.reshape(layers.Conv2D(4, 3, padding="same")(image), (-1, 20, 20, 2, 2))
    x = ops.reshape(ops.transpose(x, (0, 1, 2, 4, 3)), (-1, 20, 20, 4))
    first, _ = compare_with_gradients(keras.Model(image, layers.Conv2D(4, 3, strides=2)(x)))
    assert (first.size, first.stride, first.offset) == (5, 2, -1)


@pytest.mark.tensorflow
def test_receptive_field_of_a_residual_network():
    first, _ = compare_with_gradients(
        resnet.body(depths=(2, 1), include_top=False, input_shape=(56, 56, 1))
    )
    assert (first.size, first.stride) == (35, 8)


# Araujo 2019, "Computing receptive fields of convolutional neural networks", distill.pub, table: size and stride of the
# last feature map.
PUBLISHED = [("VGG16", 212, 32), ("ResNet50", 483, 32), ("MobileNet", 315, 32)]


@pytest.mark.parametrize("builder, size, stride", PUBLISHED)
def test_receptive_fields_of_networks_are_as_published(builder, size, stride):
    builder = getattr(keras.applications, builder)
    model = builder(weights=None, include_top=False, input_shape=(224, 224, 3))
    for field in kapps.profile(model).rows[-1].receptive_field:
        assert (field.size, field.stride) == (size, stride)


def test_an_unknown_receptive_field_is_none():
    image = keras.Input((8, 8, 4))
    rolled = layers.Conv2D(4, 3)(ops.roll(image, 1, axis=1))
    assert kapps.profile(keras.Model(image, rolled)).rows[-1].receptive_field is None


def test_receptive_field_of_a_token_sequence():
    words = keras.Input((30,), dtype="int32")
    x = layers.Embedding(50, 8)(words)
    for rate in (1, 2, 4):
        x = layers.Conv1D(8, 3, dilation_rate=rate, padding="causal")(x)
    (field,) = kapps.profile(keras.Model(words, x)).rows[-1].receptive_field
    assert (field.size, field.stride, field.offset) == (15, 1, -14)
    attended = layers.MultiHeadAttention(2, 4)(x, x)
    (field,) = kapps.profile(keras.Model(words, attended)).rows[-1].receptive_field
    assert (field.size, field.offset) == (30, 0)

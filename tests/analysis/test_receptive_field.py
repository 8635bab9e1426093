"""Receptive fields: against those that gradients measure, and the known ones of networks."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import kapps
from kapps.cnn import resnet


def measured(model):
    """Returns, for every unit along each axis, the first and the last place of the input that its gradient reaches.

    Every weight and every input is positive, so that nothing cancels and no ReLU is closed; of many random inputs
    each unit of a max pooling's window is once the largest.
    """
    import tensorflow as tf

    for variable in model.weights:
        none = variable.path.endswith(("bias", "beta", "moving_mean"))
        value = 0 if none else 1 / math.prod(variable.shape[:-1])  # a mean, that closes no sigmoid
        variable.assign(np.full(variable.shape, value))
    shape = model.input_shape[1:]
    x = tf.constant(np.random.default_rng(0).uniform(0.1, 1, (16, *shape)).astype("float32"))
    found = []
    for axis in range(len(shape) - 1):
        ends = []
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = model(x, training=False)
            along = len(y.shape) == len(shape) + 1
            units = tf.unstack(y, axis=axis + 1) if along else [y]
            # of other axes the middle, so that what is cut off at the edges is not missed
            totals = [tf.reduce_sum(unit) for unit in units]
        for total in totals:
            gradient = np.abs(tape.gradient(total, x).numpy())
            seen = gradient.sum(axis=tuple(i for i in range(gradient.ndim) if i != axis + 1))
            places = np.flatnonzero(seen > 0)
            ends.append((places[0], places[-1]))
        found.append(ends)
    return found


def agrees(model, exact=True):
    """Compares the field with the measured one: of every unit that sees no padding, its begin and its end.

    At the edges a unit sees no more than that. Of enlarged maps, whose units differ, the largest counts.
    """
    fields = kapps.profile(model).rows[-1].receptive_field
    for field, ends, side in zip(fields, measured(model), model.input_shape[1:-1], strict=True):
        inside = 0
        for i, (first, last) in enumerate(ends):
            low = math.ceil(field.offset + i * field.stride)
            high = low + field.size - 1
            if exact and low >= 0 and high < side:
                inside += 1
                assert (first, last) == (low, high), (field, i, ends)
            assert last - first < field.size, (field, i, ends)
            assert not exact or (first >= low and last <= high), (field, i, ends)
        assert inside or not exact, "no unit sees the image alone"
        assert max(last - first + 1 for first, last in ends) == min(field.size, side)
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
def test_field_is_the_measured_one(stack):
    agrees(sequential(*stack))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "shape, stack",
    [
        ((50, 3), [layers.Conv1D(2, 3, dilation_rate=2**i, padding="causal") for i in range(4)]),
        ((50, 3), [layers.Conv1D(2, 4, strides=2, padding="same"), layers.MaxPooling1D(2)]),
        ((12, 10, 9, 2), [layers.Conv3D(2, 3, padding="same"), layers.Conv3D(2, (1, 2, 3), strides=2)]),
    ],
)  # fmt: skip
def test_field_in_one_and_three_dimensions(shape, stack):
    agrees(sequential(*stack, shape=shape))


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
def test_field_of_an_enlarged_map_is_the_largest_measured(stack):
    fields = agrees(sequential(*stack, shape=(12, 11, 2)), exact=False)
    assert all(field.stride <= 1 for field in fields)


@pytest.mark.tensorflow
def test_field_through_branches_is_what_they_see_together():
    image = keras.Input((30, 30, 2))
    wide = layers.Conv2D(2, 7, padding="same")(image)
    narrow = layers.Conv2D(2, 3, padding="same")(image)
    made = layers.Concatenate()([wide, layers.Add()([narrow, image])])
    first, _ = agrees(keras.Model(image, layers.MaxPooling2D(2)(made)))
    assert (first.size, first.stride, first.offset) == (8, 2, -3)


@pytest.mark.tensorflow
def test_squeeze_and_excitation_sees_the_whole_map():
    image = keras.Input((16, 16, 4))
    made = kapps.layers.squeeze_excite(layers.Conv2D(4, 3, padding="same")(image), 2, name="se")
    model = keras.Model(image, made)
    fields = kapps.profile(model).rows[-1].receptive_field
    assert [(field.size, field.stride) for field in fields] == [(16, 1), (16, 1)]
    assert all(ends == [(0, 15)] * 16 for ends in measured(model))


@pytest.mark.tensorflow
def test_channel_shuffle_in_operations_keeps_the_field():
    image = keras.Input((20, 20, 4))
    x = ops.reshape(layers.Conv2D(4, 3, padding="same")(image), (-1, 20, 20, 2, 2))
    x = ops.reshape(ops.transpose(x, (0, 1, 2, 4, 3)), (-1, 20, 20, 4))
    first, _ = agrees(keras.Model(image, layers.Conv2D(4, 3, strides=2)(x)))
    assert (first.size, first.stride, first.offset) == (5, 2, -1)


@pytest.mark.tensorflow
def test_field_of_a_residual_network_is_the_measured_one():
    first, _ = agrees(resnet.body(depths=(2, 1), include_top=False, input_shape=(56, 56, 1)))
    assert (first.size, first.stride) == (35, 8)


# Araujo 2019, "Computing receptive fields of convolutional neural networks", the table of distill.pub:
# size and stride of the last map.
PUBLISHED = [("VGG16", 212, 32), ("ResNet50", 483, 32), ("MobileNet", 315, 32)]


@pytest.mark.parametrize("builder, size, stride", PUBLISHED)
def test_fields_of_networks_are_the_published_ones(builder, size, stride):
    builder = getattr(keras.applications, builder)
    model = builder(weights=None, include_top=False, input_shape=(224, 224, 3))
    for field in kapps.profile(model).rows[-1].receptive_field:
        assert (field.size, field.stride) == (size, stride)


def test_what_cannot_be_said_is_not_said():
    image = keras.Input((8, 8, 4))
    rolled = layers.Conv2D(4, 3)(ops.roll(image, 1, axis=1))
    assert kapps.profile(keras.Model(image, rolled)).rows[-1].receptive_field is None


def test_a_sequence_of_words_has_a_field():
    words = keras.Input((30,), dtype="int32")
    x = layers.Embedding(50, 8)(words)
    for rate in (1, 2, 4):
        x = layers.Conv1D(8, 3, dilation_rate=rate, padding="causal")(x)
    (field,) = kapps.profile(keras.Model(words, x)).rows[-1].receptive_field
    assert (field.size, field.stride, field.offset) == (15, 1, -14)
    attended = layers.MultiHeadAttention(2, 4)(x, x)
    (field,) = kapps.profile(keras.Model(words, attended)).rows[-1].receptive_field
    assert (field.size, field.offset) == (30, 0)

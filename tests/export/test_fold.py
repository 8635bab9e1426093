"""Batch norms folded into every kind of layer, those that are not folded, and complete networks."""

import keras
import numpy as np
import pytest
from keras import layers

import kapps
from kapps.export import fold
from kapps.layers import GroupedConv2D

LAYERS = [
    ((9, 4), layers.Conv1D(6, 3, strides=2)),
    ((9, 8, 4), layers.Conv2D(6, 3, padding="same")),
    ((9, 8, 4), layers.Conv2D(6, 3, use_bias=False, dilation_rate=2)),
    ((5, 6, 7, 2), layers.Conv3D(3, 2)),
    ((9, 8, 4), layers.Conv2D(8, 3, groups=2)),
    ((9, 8, 4), GroupedConv2D(8, 3, groups=4, use_bias=False)),
    ((9, 8, 4), layers.DepthwiseConv2D(3, depth_multiplier=2)),
    ((9, 4), layers.DepthwiseConv1D(3, use_bias=False)),
    ((9, 8, 4), layers.SeparableConv2D(6, 3, depth_multiplier=2)),
    ((9, 4), layers.SeparableConv1D(5, 3, use_bias=False)),
    ((5, 6, 3), layers.Conv2DTranspose(4, 3, strides=2)),
    ((7, 3), layers.Conv1DTranspose(4, 3, use_bias=False)),
    ((12,), layers.Dense(7)),
    ((3, 12), layers.Dense(7, use_bias=False)),
]


def randomise_weights(model):
    """Sets every variable to random values that are possible after training, and returns the model."""
    generator = np.random.default_rng(0)
    for variable in model.weights:
        low, high = (0.5, 2.0) if variable.name in ("gamma", "moving_variance") else (-1.0, 1.0)
        variable.assign(generator.uniform(low, high, variable.shape))
    return model


def assert_same_outputs(model, folded, tolerance=1e-5):
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype("float32")
    outputs, expected = (
        keras.ops.convert_to_numpy(network(x, training=False)) for network in (folded, model)
    )
    assert np.abs(outputs - expected).max() <= tolerance * np.abs(expected).max() > 0


def norm_names(model):
    return [x.name for x in model._flatten_layers() if isinstance(x, layers.BatchNormalization)]


@pytest.mark.parametrize("shape, layer", LAYERS, ids=[f"{x.name}" for _, x in LAYERS])
@pytest.mark.parametrize("scale", [True, False])
def test_each_kind_of_layer(shape, layer, scale):
    layer = type(layer).from_config(layer.get_config())
    x = keras.Input(shape)
    y = layers.BatchNormalization(scale=scale, epsilon=0.01, name="norm")(layer(x))
    model = randomise_weights(keras.Model(x, layers.ReLU()(y)))
    folded, reasons = fold(model)
    assert reasons == {} and norm_names(folded) == [] and norm_names(model) == ["norm"]
    assert [x.name for x in folded.layers] == [x.name for x in model.layers if x.name != "norm"]
    assert_same_outputs(model, folded)


def test_batch_norms_that_are_not_folded():
    image = keras.Input((8, 8, 4))
    x = layers.BatchNormalization(name="first")(image)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="active")(x)
    x = layers.BatchNormalization(name="after_relu")(x)
    both = layers.Conv2D(4, 3, padding="same", name="both")(x)
    x = layers.BatchNormalization(name="shared")(both)
    x = layers.Add(name="sum")([x, both])
    x = layers.BatchNormalization(name="after_sum")(x)
    rows = layers.Conv2D(8, 1, name="rows")(x)
    x = layers.BatchNormalization(axis=1, name="of_rows")(rows)
    x = layers.BatchNormalization(name="goes")(layers.Conv2D(8, 1, name="last")(x))
    model = randomise_weights(keras.Model(image, x))
    folded, reasons = fold(model)
    assert reasons == {
        "first": "it follows InputLayer, not a convolution or a dense layer",
        "after_relu": "active has an activation of its own",
        "shared": "the output of both has other consumers",
        "after_sum": "it follows Add, not a convolution or a dense layer",
        "of_rows": "it normalises axis 1, not the channels",
    }
    assert norm_names(folded) == list(reasons)
    assert_same_outputs(model, folded)


def test_a_convolution_that_is_an_output_keeps_its_batch_norm():
    image = keras.Input((8, 8, 4))
    y = layers.Conv2D(4, 3, name="seen")(image)
    model = randomise_weights(keras.Model(image, [layers.BatchNormalization(name="norm")(y), y]))
    assert fold(model)[1] == {"norm": "the output of seen has other consumers"}


def test_a_batch_norm_that_is_used_twice_is_not_folded():
    first, second = keras.Input((8, 4)), keras.Input((8, 4))
    dense, norm = layers.Dense(4, name="dense"), layers.BatchNormalization(name="norm")
    model = keras.Model([first, second], [norm(dense(first)), norm(dense(second))])
    assert fold(model)[1] == {"norm": "it is used more than once"}


def test_a_layer_of_two_models_is_folded():
    image = keras.Input((8, 8, 4))
    y = layers.Conv2D(4, 3, name="body")(image)
    model = randomise_weights(keras.Model(image, layers.BatchNormalization(name="norm")(y)))
    keras.Model(image, layers.ReLU()(y))
    folded, reasons = fold(model)
    assert reasons == {}
    assert_same_outputs(model, folded)


def test_nested_and_sequential_models():
    inner = keras.Sequential(
        [keras.Input((8, 8, 4)), layers.Conv2D(4, 3), layers.BatchNormalization(name="inner")],
        name="inner_model",
    )
    image = keras.Input((8, 8, 4))
    model = randomise_weights(keras.Model(image, layers.GlobalAveragePooling2D()(inner(image))))
    folded, reasons = fold(model)
    assert reasons == {} and norm_names(folded) == []
    assert_same_outputs(model, folded)
    assert_same_outputs(inner, fold(inner)[0])


@pytest.mark.long
@pytest.mark.parametrize(
    "name, unfolded", [("resnext50", 0), ("se_resnet50", 0), ("resnet50_v2", 16)]
)
def test_networks(name, unfolded, randomise):
    model = randomise(getattr(kapps, name)(input_shape=(64, 64, 3), classifier_activation=None))
    folded, reasons = fold(model)
    assert len(reasons) == len(norm_names(folded)) == unfolded
    # A batch norm has 4 values a channel; a convolution gets a bias of 1.
    assert folded.count_params() < model.count_params()
    assert_same_outputs(model, folded, tolerance=1e-4)


def test_a_model_without_a_graph_raises():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="no graph to fold"):
        fold(Own())

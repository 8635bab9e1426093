"""Xception: logits equal to Keras Applications, the middle flow and separable convolutions."""

import graphs
import keras
import numpy as np
import pytest

import kapps


def weights(model):
    """Returns a network's weights in the order of its layers, those of the shortcuts last."""
    shortcuts, others = [], []
    for layer in model.layers:  # Keras Applications names all layers but the shortcuts
        shortcut = "shortcut" in layer.name or layer.name.startswith(("conv2d", "batch_norm"))
        (shortcuts if shortcut else others).extend(layer.weights)
    return others + shortcuts


@pytest.mark.parametrize("size", [97, pytest.param(72, marks=pytest.mark.long)])
def test_logits_equal_keras_applications(size, randomise):
    shape = (size, size, 3)
    options = {"input_shape": shape, "classes": 10, "classifier_activation": None}
    theirs = randomise(keras.applications.Xception(weights=None, **options))
    ours = kapps.xception(**options)
    for our, their in zip(weights(ours), weights(theirs), strict=True):
        our.assign(their)
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    output, expected = (
        keras.ops.convert_to_numpy(model(images, training=False)) for model in (ours, theirs)
    )
    largest = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest  # the image matters
    assert np.abs(output - expected).max() < 1e-4 * largest


@pytest.fixture(scope="module")
def model():
    return graphs.build(kapps.xception, input_shape=(64, 64, 3))


def test_no_layer_between_depthwise_and_pointwise(model):
    depthwise = [x for x in model.layers if isinstance(x, keras.layers.DepthwiseConv2D)]
    assert len(depthwise) == 2 * 4 + 3 * 8 + 2
    for layer in depthwise:
        (node,) = layer._outbound_nodes
        pointwise = node.operation
        assert pointwise.kernel_size == (1, 1) and not pointwise.use_bias and not layer.use_bias


def test_middle_flow_has_identity_shortcuts(model):
    shortcuts = [x.name for x in model.layers if x.name.endswith("_shortcut")]
    assert sorted(shortcuts) == [f"level{level}_block1_shortcut" for level in (2, 3, 4, 5)]
    middle = model.get_layer("level4_block9_add").input
    names = [x._keras_history.operation.name for x in middle]
    assert names == ["level4_block8_add", "level4_block9_conv3_bn"]


def test_dropout_of_the_head(model):
    assert model.get_layer("head_dropout").rate == 0.5
    assert not any(
        "dropout" in x.name for x in graphs.build(kapps.xception, include_top=False).layers
    )

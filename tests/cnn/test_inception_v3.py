"""Inception-v3: map sizes of Table 1, padding, branches, and the auxiliary classifier."""

import graphs
import keras
import pytest

import kapps
from kapps.cnn.inception_v3 import auxiliary


@pytest.fixture(scope="module")
def model():
    return graphs.build(kapps.inception_v3, include_top=False)


def concatenated(model, name):
    """Returns the names of the layers that a layer concatenates."""
    return [x._keras_history.operation.name for x in model.get_layer(name).input]


def test_map_sizes_of_table_1(model):
    shapes = [
        model.get_layer(f"{name}_relu").output.shape[1:]
        for name in ("stem_conv1_bn", "stem_conv2_bn", "stem_conv3_bn")
    ]
    assert shapes == [(149, 149, 32), (147, 147, 32), (147, 147, 64)]
    assert model.get_layer("level3_pool").output.shape[1:] == (35, 35, 192)
    maps = {level: x.shape[1:] for level, x in kapps.pyramid_outputs(model).items() if level > 2}
    assert maps == {3: (35, 35, 288), 4: (17, 17, 768), 5: (8, 8, 2048)}


def test_strided_layers_are_not_padded(model):
    strided = [x for x in model.layers if max(getattr(x, "strides", (1,))) > 1]
    assert len(strided) == 3 + 2 * 3 and {x.padding for x in strided} == {"valid"}


def test_inception_b_alternates_1x7_and_7x1(model):
    sizes = [model.get_layer(f"level4_block2_branch3_conv{i}").kernel_size for i in (1, 2, 3, 4, 5)]
    assert sizes == [(1, 1), (7, 1), (1, 7), (7, 1), (1, 7)]
    inner = [model.get_layer(f"level4_block{i}_branch3_conv4").filters for i in (2, 3, 4, 5)]
    assert inner == [128, 160, 160, 192]


def test_inception_c_has_expanded_filter_banks(model):
    assert concatenated(model, "level5_block3_branch2_concat") == [
        "level5_block3_branch2_1x3_bn_relu",
        "level5_block3_branch2_3x1_bn_relu",
    ]
    for part, size in (("1x3", (1, 3)), ("3x1", (3, 1))):
        layer = model.get_layer(f"level5_block3_branch2_{part}")
        assert layer.kernel_size == size
        assert layer.input._keras_history.operation.name == "level5_block3_branch2_conv1_bn_relu"


def test_auxiliary_classifier():
    model = graphs.build(kapps.inception_v3, auxiliary=True)
    assert model.output_names == ["predictions", "auxiliary1"]
    pool = model.get_layer("auxiliary1_pool")
    assert pool.input._keras_history.operation.name == "level4_block5_concat"
    assert pool.output.shape[1:] == (5, 5, 768)
    assert model.get_layer("auxiliary1_conv2").output.shape[1:] == (1, 1, 768)
    trainable = sum(keras.ops.size(x) for x in model.trainable_variables)
    assert int(trainable) == 27_161_264  # torchvision's
    assert model.get_layer("head_dropout").rate == 0.5


@pytest.mark.parametrize("shape", [(16, 17, 768), (None, None, 768)])
def test_small_map_for_the_auxiliary_classifier_raises(shape):
    with pytest.raises(ValueError) as caught:
        auxiliary(keras.Input(shape), 10, None, "auxiliary1")
    assert "input_shape" in str(caught.value) and "\n" not in str(caught.value)

"""ResNet v2: pre-activation and shortcuts."""

import pytest

import kapps


@pytest.fixture(scope="module")
def model():
    return kapps.families.resnet_v2(depths=(2, 1), include_top=False, input_shape=(32, 32, 3))


def source(model, name):
    """Returns the name of a layer's input layer."""
    return model.get_layer(name).input._keras_history.operation.name


def test_first_block_has_no_activation(model):
    activated = [layer.name for layer in model.layers if layer.name.endswith("_preact")]
    assert activated == ["level2_block2_preact", "level3_block1_preact"]
    assert source(model, "level2_block1_conv1") == "stem_pool"


def test_projection_reads_activated_features(model):
    assert source(model, "level3_block1_shortcut") == "level3_block1_preact_relu"
    assert source(model, "level2_block1_shortcut") == "stem_pool"


def test_shortcut_has_no_activation(model):
    summed = model.get_layer("level2_block2_out").input
    assert [x._keras_history.operation.name for x in summed] == [
        "level2_block1_out",
        "level2_block2_conv3",
    ]


def test_output_is_normalised_and_activated(model):
    assert source(model, "level3_norm") == "level3_block1_out"
    assert model.layers[-1].name == "level3_norm_relu"
    levels = kapps.pyramid_outputs(model)
    assert list(levels) == [1, 2, 3] and levels[3] is model.output
    assert levels[2] is model.get_layer("level2_block2_out").output

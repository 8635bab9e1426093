"""SENet-154: its differences from SE-ResNeXt-152."""

import graphs
import keras
import pytest

import kapps


@pytest.fixture(scope="module")
def model():
    return kapps.families.senet(depths=(2, 2), input_shape=(32, 32, 3), classes=10)


def test_stem_has_three_3x3_convolutions(model):
    stem = [model.get_layer(f"stem_conv{i}") for i in (1, 2, 3)]
    assert [(x.filters, x.kernel_size, x.strides) for x in stem] == [
        (64, (3, 3), (2, 2)),
        (64, (3, 3), (1, 1)),
        (128, (3, 3), (1, 1)),
    ]


def test_first_1x1_has_half_of_the_channels(model):
    assert model.get_layer("level3_block2_conv1").filters == 256
    assert model.get_layer("level3_block2_conv2").kernel.shape == (3, 3, 4, 512)
    assert model.get_layer("level3_block2_se_reduce").filters == 32


def test_shortcut_with_strides_is_3x3(model):
    shortcuts = {x.name: x.kernel_size for x in model.layers if x.name.endswith("_shortcut")}
    assert shortcuts == {"level2_block1_shortcut": (1, 1), "level3_block1_shortcut": (3, 3)}


def test_dropout_of_the_head(model):
    assert model.get_layer("head_dropout").rate == 0.2


@pytest.mark.long
def test_number_of_layers():
    """The 154 layers are the convolutions of the residual branches, of the stem, and the classifier."""
    model = graphs.build(kapps.senet154, input_shape=(32, 32, 3))
    names = [x.name for x in model.layers if hasattr(x, "kernel")]
    path = [x for x in names if "_se_" not in x and "_shortcut" not in x]
    assert len(path) == 3 + 3 * 50 + 1


def test_max_pooling_keeps_the_dropout():
    model = kapps.families.senet(depths=(1,), input_shape=(32, 32, 3), classes=10, pooling="max")
    names = [layer.name for layer in model.layers[-4:]]
    assert names == ["head_pool", "head_dropout", "head_logits", "predictions"]
    assert isinstance(model.layers[-4], keras.layers.GlobalMaxPooling2D)

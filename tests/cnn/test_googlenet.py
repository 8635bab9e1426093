"""GoogLeNet: sizes and operations of Table 1, pooling, and the auxiliary classifiers."""

import graphs
import keras
import pytest

import kapps
from kapps.cnn.googlenet import CEIL_MODE, auxiliary
from kapps.cnn.googlenet_bn import conv_bn_relu
from kapps.layers import LocalResponseNormalization, max_pool

# arXiv:1409.4842, Table 1: channels after each module, millions of operations, and ours of it.
TABLE = {
    "level3_block1": (256, 128),
    "level3_block2": (480, 304),
    "level4_block1": (512, 73),
    "level4_block2": (512, 88),
    "level4_block3": (512, 100),
    "level4_block4": (528, 119),
    "level4_block5": (832, 170),
    "level5_block1": (832, 54),
    "level5_block2": (1024, 71),
}


@pytest.fixture(scope="module")
def model():
    return kapps.googlenet_bn(include_top=False)


def macs(model, name):
    """Returns the multiply-accumulates of a module."""
    layers = [x for x in model.layers if x.name.startswith(f"{name}_") and hasattr(x, "kernel")]
    assert len(layers) == 6
    return sum(size(x) for x in layers)


def size(layer):
    """Returns the multiply-accumulates of a convolution."""
    height, width, filters = layer.output.shape[1:]
    rows, columns, inner, _ = layer.kernel.shape
    return height * width * rows * columns * inner * filters


@pytest.mark.parametrize("name", TABLE)
def test_modules_of_table_1(model, name):
    channels, operations = TABLE[name]
    assert model.get_layer(f"{name}_concat").output.shape[-1] == channels
    assert macs(model, name) / 1e6 == pytest.approx(operations, rel=0.06)


def test_map_sizes_of_table_1(model):
    shapes = {level: x.shape[1:] for level, x in kapps.pyramid_outputs(model).items()}
    assert shapes[2] == (56, 56, 192) and model.get_layer("level3_pool").output.shape[1] == 28
    assert [shapes[level][0] for level in (3, 4, 5)] == [28, 14, 7]


@pytest.mark.long
def test_kernel_sizes_of_the_variants():
    sizes = {
        name: getattr(kapps, name)(include_top=False).get_layer("level3_block1_5x5").kernel_size
        for name in ("googlenet_bn", "googlenet_bn_3x3")
    }
    assert sizes == {"googlenet_bn": (5, 5), "googlenet_bn_3x3": (3, 3)}


def test_auxiliary_classifiers_read_4a_and_4d():
    model = kapps.googlenet_bn(auxiliary=True, classes=10)
    assert model.output_names == ["predictions", "auxiliary1", "auxiliary2"]
    for i, block in ((1, "level4_block1"), (2, "level4_block4")):
        pool = model.get_layer(f"auxiliary{i}_pool")
        assert pool.input._keras_history.operation.name == f"{block}_concat"
        assert pool.output.shape[1:3] == (4, 4)  # the paper's 4x4x512 and 4x4x528
        assert model.get_layer(f"auxiliary{i}_dense").kernel.shape == (2048, 1024)
        assert model.get_layer(f"auxiliary{i}_dropout").rate == 0.7
    assert model.get_layer("head_dropout").rate == 0.4
    # torchvision's 13,004,888 with them, 6,624,904 without
    added = sum(x.count_params() for x in model.layers if x.name.startswith("auxiliary"))
    logits = 2 * (1024 + 1) * (1000 - 10)
    statistics = 2 * 2 * 128
    assert added + logits - statistics == 13_004_888 - 6_624_904


@pytest.mark.parametrize("shape", [(4, 5, 512), (None, None, 512)])
def test_small_map_for_auxiliary_classifiers_raises(shape):
    with pytest.raises(ValueError) as caught:
        auxiliary(keras.Input(shape), 10, None, "auxiliary1", conv=conv_bn_relu)
    assert "input_shape" in str(caught.value) and "\n" not in str(caught.value)


def test_last_pooling_window_overlaps_the_edge():
    x = keras.ops.reshape(keras.ops.arange(16, dtype="float32"), (1, 4, 4, 1))
    image = keras.Input((4, 4, 1))
    pooled = keras.Model(image, max_pool(image, padding=CEIL_MODE, name="pool"))(x)
    assert keras.ops.convert_to_numpy(pooled).reshape(2, 2).tolist() == [[10, 11], [14, 15]]


def test_googlenet_has_two_normalisations_and_biases():
    model = kapps.googlenet(include_top=False, input_shape=(32, 32, 3))
    norms = [x for x in model.layers if isinstance(x, LocalResponseNormalization)]
    read = [x.input._keras_history.operation.name for x in norms]
    assert read == ["stem_pool", "stem_conv3"]
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 3 + 9 * 6 and all(x.use_bias for x in convolutions)
    assert not any(isinstance(x, keras.layers.BatchNormalization) for x in model.layers)


def test_normalisation_has_the_constants_of_caffe():
    model = graphs.build(kapps.googlenet)
    for name in ("stem_norm1", "stem_norm2"):
        layer = model.get_layer(name)
        assert (layer.k, layer.size, layer.beta) == (1, 5, 0.75)
        assert layer.alpha * layer.size == pytest.approx(1e-4)

"""Inception-v4: map sizes of the figures, padding, and average pooling."""

import graphs
import keras
import numpy as np
import pytest

import kapps

# arXiv:1602.07261: (rows and columns, channels) after what Figures 3 and 9 name.
FIGURES = {
    "stem_conv3": (147, 64),
    "level2_block1_concat": (73, 160),
    "level2_block2_concat": (71, 192),
    "level3_block1_concat": (35, 384),
    "level3_block5_concat": (35, 384),
    "level4_block1_concat": (17, 1024),
    "level4_block8_concat": (17, 1024),
    "level5_block1_concat": (8, 1536),
    "level5_block4_concat": (8, 1536),
}


@pytest.fixture(scope="module")
def model():
    return graphs.build(kapps.inception_v4, include_top=False)


def test_map_sizes_of_the_figures(model):
    assert {name: model.get_layer(name).output.shape[2:] for name in FIGURES} == FIGURES


def test_number_of_modules(model):
    modules = {x.name.rsplit("_", 2)[0] for x in model.layers if x.name.endswith("branch4_conv1")}
    counts = [sum(x.startswith(f"level{level}_") for x in modules) for level in (3, 4, 5)]
    assert counts == [4, 7, 3]


def test_strided_layers_are_not_padded(model):
    strided = [x for x in model.layers if max(getattr(x, "strides", (1,))) > 1]
    assert len(strided) == 1 + 2 + 2 + 3 + 3 and {x.padding for x in strided} == {"valid"}


def test_average_pooling_does_not_count_padding(model):
    pools = [x for x in model.layers if isinstance(x, keras.layers.AveragePooling2D)]
    assert len(pools) == 4 + 7 + 3
    ones = np.ones((1, 5, 5, 1), "float32")
    for pool in pools[::7]:
        mean = keras.ops.convert_to_numpy(type(pool).from_config(pool.get_config())(ones))
        np.testing.assert_allclose(mean, ones)


def test_dropout_of_the_head():
    model = kapps.families.inception_v4(depths=(1, 1, 1), input_shape=(75, 75, 3))
    assert model.get_layer("head_dropout").rate == 0.2

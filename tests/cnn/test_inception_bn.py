"""Inception-BN: map sizes of Figure 5, strides, poolings and kernel sizes."""

import graphs
import keras
import pytest

import kapps

# arXiv:1502.03167, Figure 5: (rows and columns, channels) after each module. Of 4c and 4d it prints 576
# channels, but its columns sum to 608.
FIGURE_5 = {
    "level3_block1": (28, 256),
    "level3_block2": (28, 320),
    "level4_block1": (14, 576),
    "level4_block2": (14, 576),
    "level4_block3": (14, 576),
    "level4_block4": (14, 608),
    "level4_block5": (14, 608),
    "level5_block1": (7, 1056),
    "level5_block2": (7, 1024),
    "level5_block3": (7, 1024),
}


@pytest.fixture(scope="module")
def model():
    return graphs.build(kapps.inception_bn, include_top=False)


def test_map_sizes_of_figure_5(model):
    shapes = {name: model.get_layer(f"{name}_concat").output.shape[2:] for name in FIGURE_5}
    assert shapes == FIGURE_5


def test_modules_with_strides(model):
    strided = [x.name for x in model.layers if max(getattr(x, "strides", (1,))) == 2]
    parts = ("3x3", "double2", "pool")
    expected = {f"level{level}_block1_{part}" for level in (4, 5) for part in parts}
    assert set(strided) == expected | {"stem_conv1", "stem_pool", "level3_pool"}
    for level in (4, 5):
        inputs = model.get_layer(f"level{level}_block1_concat").input
        names = [x._keras_history.operation.name for x in inputs]
        assert len(names) == 3 and names[-1] == f"level{level}_block1_pool"


def test_only_the_last_module_has_max_pooling(model):
    kinds = {
        name: type(model.get_layer(f"{name}_pool"))
        for name in FIGURE_5
        if name not in ("level4_block1", "level5_block1")
    }
    assert kinds.pop("level5_block3") is keras.layers.MaxPooling2D
    assert set(kinds.values()) == {keras.layers.AveragePooling2D}


def test_kernel_sizes(model):
    sizes = {x.name: x.kernel_size for x in model.layers if isinstance(x, keras.layers.Conv2D)}
    assert sizes.pop("stem_conv1") == (7, 7)
    assert set(sizes.values()) == {(1, 1), (3, 3)}

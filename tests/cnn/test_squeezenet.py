"""SqueezeNet: fire modules of Table 1, poolings and bypasses."""

import keras
import numpy as np
import pytest

import kapps

FIRES = ((16, 128), (16, 128), (32, 256), (32, 256), (48, 384), (48, 384), (64, 512), (64, 512))


def body(name, size=64):
    return getattr(kapps, name)(include_top=False, input_shape=(size, size, 3))


def blocks(model):
    """Returns squeezed and expanded channels of each module."""
    ends = "_squeeze"
    names = [x.name.removesuffix(ends) for x in model.layers if x.name.endswith(ends)]
    pairs = [
        [model.get_layer(f"{name}_{part}") for part in ("squeeze", "concat")] for name in names
    ]
    return [tuple(layer.output.shape[-1] for layer in pair) for pair in pairs]


@pytest.mark.parametrize("name", ["squeezenet", "squeezenet1_1"])
def test_modules_of_table_1(name):
    assert tuple(blocks(body(name))) == FIRES


@pytest.mark.parametrize(
    "name, size, sides",
    [
        ("squeezenet", 227, (111, 55, 27, 13)),  # the paper's
        ("squeezenet", 224, (109, 54, 27, 13)),
        ("squeezenet1_1", 224, (111, 55, 27, 13)),
    ],
)
def test_map_sizes(name, size, sides):
    ends = kapps.pyramid_outputs(body(name, size))
    assert tuple(features.shape[1] for features in ends.values()) == sides


@pytest.mark.parametrize("name, modules", [("squeezenet", (3, 4, 1)), ("squeezenet1_1", (2, 2, 4))])
def test_modules_at_each_level(name, modules):
    names = [layer.name for layer in body(name).layers if layer.name.endswith("_squeeze")]
    assert tuple(sum(f"level{n}_" in name for name in names) for n in (2, 3, 4)) == modules


def test_last_pooling_window_overlaps_the_edge(digits):
    """14 rows make 7."""
    model = body("squeezenet", 33)  # 14 rows, then 7
    stem, pool = model.get_layer("stem_conv"), model.get_layer("level2_pool")
    both = keras.Model(model.input, [stem.output, pool.output])(digits(33)[0][:1], training=False)
    before, after = map(keras.ops.convert_to_numpy, both)
    assert before.shape[1] == 14 and after.shape[1] == 7
    np.testing.assert_array_equal(after[0, 6, 6], before[0, 12:, 12:].max(axis=(0, 1)))


@pytest.mark.parametrize(
    "name, added, projected",
    [("squeezenet", 0, 0), ("squeezenet_bypass", 4, 0), ("squeezenet_complex_bypass", 8, 4)],
)
def test_bypasses_of_figure_2(name, added, projected):
    names = [layer.name for layer in body(name).layers]
    sums = [name for name in names if name.endswith("_add")]
    assert len(sums) == added
    assert sum(name.endswith("_bypass") for name in names) == projected
    if added == 4:  # around fire 3, 5, 7 and 9
        assert sums == [f"level{n}_add" for n in ("2_block2", "3_block1", "3_block3", "4_block1")]


def test_unknown_bypass_raises():
    with pytest.raises(ValueError, match="simple"):
        kapps.families.squeezenet(bypass="complicated")

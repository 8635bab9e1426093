"""ConvNeXt: its stages, layer scale, stochastic depth and initialisation."""

import keras
import numpy as np
import pytest

import kapps

SMALL = {"depths": (1, 1, 2, 1), "filters": (8, 16, 24, 32)}


@pytest.fixture(scope="module")
def model():
    return kapps.families.convnext(
        **SMALL, drop_rate=0.4, layer_scale=0.5, input_shape=(32, 32, 3), classes=10
    )


def test_sizes_of_the_paper():
    assert kapps.list_models("convnext*") == [
        f"convnext_{size}" for size in ("tiny", "small", "base", "large", "xlarge")
    ]


def test_maps_of_the_levels(model):
    shapes = [
        model.get_layer(f"level{level}_block1_add").output.shape[1:] for level in (2, 3, 4, 5)
    ]
    assert shapes == [(8, 8, 8), (4, 4, 16), (2, 2, 24), (1, 1, 32)]


def test_drop_rate_rises_linearly(model):
    rates = {layer.name: layer.rate for layer in model.layers if layer.name.endswith("_drop")}
    assert rates == pytest.approx(
        {
            "level3_block1_drop": 0.1,
            "level4_block1_drop": 0.2,
            "level4_block2_drop": 0.3,
            "level5_block1_drop": 0.4,
        }
    )


def test_training_drops_whole_branches(model):
    layer = model.get_layer("level5_block1_drop")
    y = keras.ops.convert_to_numpy(layer(np.ones((64, 1, 1, 32), "float32"), training=True))
    assert set(np.unique(y.min(axis=(1, 2, 3)))) == set(np.unique(y.max(axis=(1, 2, 3))))
    assert len(np.unique(y)) == 2


def test_initialisation_of_the_authors(model):
    kernels = [w for w in model.trainable_weights if w.name == "kernel" and "head" not in w.path]
    values = np.concatenate([keras.ops.convert_to_numpy(w).ravel() for w in kernels])
    assert abs(values).max() < 0.0401  # two deviations
    assert values.std() == pytest.approx(0.0176, rel=0.05)  # of a normal distribution cut there

"""Inception-ResNet: map sizes, scaled residuals, and the last module."""

import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.cnn import inception_resnet

MODULES = {"inception_resnet_v1": (5, 10, 6), "inception_resnet_v2": (10, 20, 10)}
MAPS = {  # arXiv:1602.07261, Figures 14 and 15, and for version 2 its authors' code
    "inception_resnet_v1": {3: (35, 35, 256), 4: (17, 17, 896), 5: (8, 8, 1792)},
    "inception_resnet_v2": {3: (35, 35, 320), 4: (17, 17, 1088), 5: (8, 8, 1536)},
}


@pytest.fixture(scope="module", params=MODULES)
def model(request):
    return graphs.build(getattr(kapps, request.param), include_top=False)


def test_map_sizes(model):
    maps = {level: x.shape[1:] for level, x in kapps.pyramid_outputs(model).items() if level > 2}
    assert maps == MAPS[model.name]


def test_residuals_are_scaled_except_the_last(model):
    scales = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling):
            scales.setdefault(layer.name[:6], []).append(layer.scale)
    expected = dict(zip(("level3", "level4", "level5"), (0.17, 0.10, 0.20), strict=True))
    assert {level: set(values) for level, values in scales.items()} == {
        level: {scale} for level, scale in expected.items()
    }
    added = [
        sum(x.name.startswith(level) and x.name.endswith("_add") for x in model.layers)
        for level in expected
    ]
    assert tuple(added) == MODULES[model.name]
    assert len(scales["level5"]) == added[2] - 1
    names = {x.name for x in model.layers}
    assert f"level5_block{added[2]}_out" not in names and f"level5_block{added[2] - 1}_out" in names


def test_only_linear_convolutions_have_biases(model):
    biased = {x.name for x in model.layers if getattr(x, "use_bias", False)}
    assert biased == {x.name for x in model.layers if x.name.endswith("_linear")}
    assert len(biased) == sum(MODULES[model.name])


def test_module_adds_its_scaled_residual():
    draw = np.random.default_rng(0)
    image = keras.Input((9, 9, 4))
    module = inception_resnet.inception_resnet_c
    plain = module(image, (2, 3, 2), scale=1, activation=None, name="plain")
    scaled = module(image, (2, 3, 2), scale=0.1, name="scaled")
    plain, scaled = keras.Model(image, plain), keras.Model(image, scaled)
    scaled.set_weights(plain.get_weights())
    x = draw.normal(size=(2, 9, 9, 4)).astype("float32")
    whole, tenth = (keras.ops.convert_to_numpy(m(x, training=False)) for m in (plain, scaled))
    assert np.abs(whole - x).max() > 0.1
    np.testing.assert_allclose(tenth, np.maximum(x + 0.1 * (whole - x), 0), rtol=1e-5, atol=1e-5)


def test_dropout_of_the_head():
    row = {**kapps.inception_resnet_v1.builder.row, "depths": (1, 1, 1)}
    model = kapps.families.inception_resnet(**row, input_shape=(75, 75, 3))
    assert model.get_layer("head_dropout").rate == 0.2

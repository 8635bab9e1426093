"""BAM: its gate compared with the formula, its place, and logits of the authors' code."""

import functools
import importlib

import fingerprints
import graphs
import keras
import numpy as np
import pytest

import kapps
from kapps.cnn import bam, resnet
from kapps.weights.names.bam import jongchan

SMALL = {"depths": (1, 1, 1), "block": resnet.basic_block, "input_shape": (32, 32, 3)}


def gate_model(combine):
    """Returns a model of the module, and one of both maps."""
    image = keras.Input((6, 5, 32))
    module = keras.Model(image, bam.attention_module(image, combine=combine, name="level2"))
    maps = [
        module.get_layer(f"level2_bam_{name}").output for name in ("channel_expand", "spatial_map")
    ]
    return module, keras.Model(image, maps)


def test_formula_of_both_combinations(randomise):
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 32)).astype("float32")
    for combine, join in (("multiply", np.multiply), ("add", np.add)):
        module, maps = gate_model(combine)
        randomise(module)
        channel, spatial = (keras.ops.convert_to_numpy(m) for m in maps(x))
        assert channel.shape == (2, 1, 1, 32) and spatial.shape == (2, 6, 5, 1)
        gate = 1 + 1 / (1 + np.exp(-join(channel, spatial)))
        assert gate.min() > 1 and gate.max() < 2 and np.ptp(gate) > 0.1
        y = keras.ops.convert_to_numpy(module(x))
        np.testing.assert_allclose(y, x * gate, rtol=1e-5, atol=1e-5)
        convolution = module.get_layer("level2_bam_spatial_conv1")
        assert convolution.dilation_rate == (4, 4) and convolution.kernel.shape == (3, 3, 2, 2)


def test_module_follows_each_level_but_the_last():
    for stem, levels in (("7x7", (2, 3)), ("3x3", (0, 1))):
        model = graphs.build(kapps.families.bam, stem=stem, **SMALL)
        names = [layer.name for layer in model.layers if layer.name.endswith("_bam_add")]
        assert names == [f"level{level}_bam_add" for level in levels]
        for level, name in zip(levels, names, strict=True):
            assert kapps.pyramid_outputs(model)[level] is model.get_layer(name).output


@pytest.mark.long
def test_parameters_at_the_authors_100_classes():
    expected = {"bam_resnet18_cifar": 11_243_123, "bam_resnet50_cifar": 24_063_319}
    for name, parameters in expected.items():
        model = graphs.graph(name, classes=100).model
        assert sum(np.prod(v.shape) for v in model.trainable_variables) == parameters


def test_texts_that_are_not_allowed_raise():
    for option in ("combine", "stem"):
        with pytest.raises(ValueError, match=f"{option}='other' is not") as caught:
            kapps.families.bam(**SMALL, **{option: "other"})
        assert "\n" not in str(caught.value)


@pytest.mark.long
def test_logits_of_resnext50_equal_those_of_the_authors_code():
    first = (-7692.64701, -3359.06325, -4188.34375, 1573.43575)
    output, count = fingerprints.logits(
        kapps.bam_resnext50, jongchan, fingerprints.images(2, 224, 224), "fc", 1000,
        scales={"gate_c_fc_final": 0.01, "gate_s_conv_final": 0.01},
    )  # fmt: skip
    assert count == 351
    fingerprints.assert_fingerprint(output, first, 816.810128, 369415.933)


@pytest.mark.long
def test_state_dicts_of_pytorchcv_and_of_the_authors_load(tmp_path):
    from safetensors.numpy import save_file

    from kapps.weights import to_torch

    module = importlib.import_module("kapps.weights.names.bam")
    build = functools.partial(kapps.families.bam, **SMALL)
    model = build()
    for names in (module.pytorchcv, module.jongchan):
        state = {name: np.ascontiguousarray(x) for name, x in to_torch(model, names).items()}
        assert len(state) == len(model.weights)
        save_file(state, tmp_path / "weights.safetensors")
        loaded = build(weights=tmp_path / "weights.safetensors")
        for value, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
        with pytest.raises(ValueError, match="another function"):
            build(weights=tmp_path / "weights.safetensors", combine="add")

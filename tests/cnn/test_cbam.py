"""CBAM: its gates compared with the formula, its start, and logits of the authors' code."""

import importlib

import fingerprints
import graphs
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps.cnn import cbam, resnet
from kapps.weights import to_torch
from kapps.weights.names.cbam import jongchan

SMALL = {"depths": (1, 1), "block": resnet.basic_block, "input_shape": (32, 32, 3)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_formula_of_the_channel_gate(randomise):
    image = keras.Input((6, 5, 32))
    model = randomise(
        keras.Model(image, cbam.channel_gate(image, reduction=16, use_bias=True, name="gate"))
    )
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 32)).astype("float32")
    w1, b1, w2, b2 = model.get_weights()
    assert w1.shape == (1, 1, 32, 2)
    scores = sum(
        np.maximum(pooled @ w1[0, 0] + b1, 0) @ w2[0, 0] + b2
        for pooled in (x.mean(axis=(1, 2)), x.max(axis=(1, 2)))
    )
    expected = x * sigmoid(scores)[:, None, None]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), expected, rtol=1e-5, atol=1e-5)
    # Both calls of the shared layers count.
    assert kapps.profile(model).macs == 4 * 32 * 2


def test_formula_of_the_spatial_gate():
    image = keras.Input((6, 5, 32))
    model = keras.Model(image, cbam.spatial_gate(image, mean_first=False, name="gate"))
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 32)).astype("float32")
    y = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(y, x / 2, atol=1e-6)  # gamma is 0 at first
    kernel = np.zeros((7, 7, 2, 1), "float32")
    kernel[3, 4, 0], kernel[3, 3, 1] = 2, -3  # the maximum of the pixel on the right, and the mean
    model.get_layer("gate_conv").kernel.assign(kernel)
    model.get_layer("gate_conv_bn").gamma.assign([1.5])
    maximum = np.pad(x.max(axis=-1), ((0, 0), (0, 0), (0, 1)))[:, :, 1:]
    scores = 1.5 * (2 * maximum - 3 * x.mean(axis=-1)) / np.sqrt(1 + 1e-5)
    expected = x * sigmoid(scores)[..., None]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), expected, rtol=1e-5, atol=1e-5)
    assert model.get_layer("gate_conv_bn").momentum == 0.99


def test_gates_are_on_the_branch_of_every_block():
    model = graphs.build(kapps.families.cbam, **SMALL)
    adds = [layer for layer in model.layers if layer.name.endswith(("block1_add", "block2_add"))]
    assert len(adds) == 2
    for layer in adds:
        branch = graphs.layer_of(layer.input[1]).name
        assert branch == layer.name.replace("_add", "_spatial_scale")


@pytest.mark.long
def test_parameters_at_the_authors_100_classes():
    expected = {"cbam_resnet18_cifar": 11_310_012, "cbam_resnet50_cifar": 26_237_844}
    for name, parameters in expected.items():
        model = graphs.graph(name, classes=100).model
        assert sum(np.prod(v.shape) for v in model.trainable_variables) == parameters


@pytest.mark.long
def test_parameters_of_timms_form():
    """timm's channel gate has no biases."""
    for depth, parameters in ((18, 11_777_352), (34, 21_956_456)):
        row = graphs.builder(f"cbam_resnet{depth}").builder.row
        model = graphs.build(kapps.families.cbam, **row, use_bias=False, mean_first=True)
        assert sum(np.prod(v.shape) for v in model.trainable_variables) == parameters


@pytest.mark.long
def test_state_dicts_of_other_libraries_load(tmp_path):
    module = importlib.import_module("kapps.weights.names.cbam")
    authors, timm = {}, {"use_bias": False, "mean_first": True}
    for library, options, other in (
        ("pytorchcv", authors, {"mean_first": True}),
        ("jongchan", authors, {"mean_first": True}),
        ("timm", timm, {"use_bias": False}),
    ):
        model = kapps.families.cbam(**SMALL, **options)
        state = to_torch(model, getattr(module, library))
        assert len(state) == len(model.weights)
        path = tmp_path / f"{library}.safetensors"
        save_file({name: np.ascontiguousarray(x) for name, x in state.items()}, path)
        loaded = kapps.families.cbam(weights=path, **SMALL, **options)
        for value, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
        with pytest.raises(ValueError, match="another function"):
            kapps.families.cbam(weights=path, **SMALL, **other)


@pytest.mark.long
def test_logits_of_resnext50_equal_those_of_the_authors_code():
    first = (-13.226989, -24.2649429, 10.9281294, 14.6102153)
    images = fingerprints.images(2, 224, 224)
    output, count = fingerprints.logits(kapps.cbam_resnext50, jongchan, images, "fc", 1000)
    assert count == 411
    fingerprints.assert_fingerprint(output, first, -13.3221955, 753.47945)

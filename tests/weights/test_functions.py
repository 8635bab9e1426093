"""Weights of another library whose network computes another function with the same shapes raise ValueError."""

import importlib

import graphs
import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps.cnn.mobilenet_v3 import TABLE_2
from kapps.cnn.resnet import basic_block
from kapps.weights import to_torch

ALEXNET = {"groups": 1, "norm": (2.0, 5, 2e-5), "norm_first": True, "stem_padding": (0, 0)}
ZFNET = {"filters": (8, 8, 8, 8, 8), "norm": (2.0, 5, 2e-5), "norm_first": True}
BOTTLENECKS = {"depths": (1, 1, 1, 1)}
WITH_SE = {**BOTTLENECKS, "se": 16}
ATTENTION = {"modules": (1,), "poolings": (2,), "filters": 16}
MOBILENET_1E5 = {"blocks": TABLE_2[:1], "epsilon": 1e-5}
MOBILENET_1E3 = {"blocks": TABLE_2[:1], "epsilon": 1e-3}
CASES = [
    # family, library, file, options of the network that it is for, options of another function with these shapes
    ("alexnet", "pytorchcv", "alexnet-1664", ALEXNET, {"groups": 1}),
    ("alexnet", "pytorchcv", "model", ALEXNET, {**ALEXNET, "stem_padding": (0, 3)}),
    ("zfnet", "pytorchcv", "model", ZFNET, {**ZFNET, "norm_first": False}),
    ("squeezenet", "torchvision", "model", {}, {"bypass": "simple"}),
    ("squeezenet", "pytorchcv", "squeezenet_v1_0-0734", {}, {"bypass": "simple"}),
    ("squeezenet", "pytorchcv", "squeezeresnet_v1_0-07", {"bypass": "simple"}, {}),
    ("resnet", "torchvision", "resnet", BOTTLENECKS, {**BOTTLENECKS, "stride_in": "1x1"}),
    ("residual_attention", "pytorchcv", "model", {**ATTENTION, "form": "pytorch"}, ATTENTION),
    ("mobilenet_v3", "torchvision", "model", MOBILENET_1E3, MOBILENET_1E5),
]  # fmt: skip
OTHERS = [  # they take seconds each
    ("resnet", "pytorchcv", "resnet50-06", {**BOTTLENECKS, "stride_in": "1x1"}, BOTTLENECKS),
    ("resnet", "pytorchcv", "seresnet50b-06", WITH_SE, {**WITH_SE, "stride_in": "1x1"}),
    ("resnet", "pytorchcv", "resnet18-0867", {**BOTTLENECKS, "block": basic_block}, None),
    ("googlenet_bn", "torchvision", "model", {"kernel_size": 3, "last_pool": 2}, {"kernel_size": 3}),
    ("mobilenet_v3", "timm", "tf_mobilenetv3_small_100-37f4", MOBILENET_1E3, MOBILENET_1E5),
    ("mobilenet_v3", "timm", "mobilenetv3_small_100_lamb-266a", MOBILENET_1E5, MOBILENET_1E3),
]  # fmt: skip


@pytest.fixture(autouse=True)
def small_heads(monkeypatch):
    """Dense layers before the classifier are 8 wide."""
    for family in ("alexnet", "zfnet"):
        heads = getattr(kapps.families, family).builder.heads
        monkeypatch.setitem(heads, "head", _small(heads["head"]))


def _small(head):
    return lambda x, classes, activation: head(x, classes, activation, units=(8, 8))


@pytest.mark.parametrize(
    "family, library, file, options, other",
    [*CASES, *(pytest.param(*case, marks=pytest.mark.long) for case in OTHERS)],
)
def test_files_of_another_function_raise(family, library, file, options, other, tmp_path):
    build = getattr(kapps.families, family)
    shape = {"input_shape": (64, 64, 3)}
    names = getattr(importlib.import_module(f"kapps.weights.names.{family}"), library)
    model = build(**options, **shape)
    path = tmp_path / f"{file}.safetensors"
    state = {key: np.ascontiguousarray(value) for key, value in to_torch(model, names).items()}
    save_file(state, path)
    loaded = build(weights=path, **options, **shape)
    for actual, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    if other is not None:
        with pytest.raises(ValueError) as raised:
            build(weights=path, **other, **shape)
        message = str(raised.value)
        assert "\n" not in message and str(path) in message and "another function" in message
        assert f"kapps.families.{family}" in message


@pytest.mark.parametrize(
    "family, options",
    [("squeezenet", {}), ("resnet", BOTTLENECKS), ("mobilenet_v3", MOBILENET_1E3)],
)
def test_a_name_that_does_not_tell_the_function_raises(family, options, tmp_path):
    build = getattr(kapps.families, family)
    module = importlib.import_module(f"kapps.weights.names.{family}")
    names = module.timm if family == "mobilenet_v3" else module.pytorchcv
    model = build(input_shape=(64, 64, 3), **options)
    path = tmp_path / "model.safetensors"
    save_file({k: np.ascontiguousarray(v) for k, v in to_torch(model, names).items()}, path)
    with pytest.raises(ValueError, match=r"different functions.*published name") as raised:
        build(weights=path, input_shape=(64, 64, 3), **options)
    assert "\n" not in str(raised.value) and "model.safetensors" in str(raised.value)


def test_the_options_exist():
    """Each row names options of the family's body."""
    for family in (
        "alexnet", "bam", "cbam", "zfnet", "squeezenet", "resnet", "googlenet_bn", "mobilenet_v3",
        "residual_attention",
    ):  # fmt: skip
        module = importlib.import_module(f"kapps.weights.names.{family}")
        names = set(getattr(kapps.families, family).builder.options())
        for library, rows in module.OPTIONS.items():
            assert hasattr(module, library)
            assert all(set(options) <= names for _, options in rows)


def test_local_response_normalisation_of_vgg_has_other_names():
    """torchvision's VGG11 does not load into the network with normalisation: its layers have other numbers."""
    model = graphs.build(kapps.vgg11_lrn, include_top=False)
    plain = graphs.build(kapps.vgg11, include_top=False)
    names = importlib.import_module("kapps.weights.names.vgg").torchvision
    layers = [[layer.name for layer in x.layers] for x in (model, plain)]
    assert names("level1_conv1", layers[0]) != names("level1_conv1", layers[1])

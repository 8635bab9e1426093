"""The manifest compared with the installed libraries, and the name maps with their networks."""

import csv
import importlib
import pathlib
import pkgutil
import runpy
import types

import models
import numpy as np
import pytest

import kapps
from kapps import cards
from kapps.weights import _assign, loading, names, torch_state_dict

ROOT = pathlib.Path(__file__).parents[2]
PLAIN = {
    "GoogLeNet_Weights": {"init_weights": False},
    "Inception_V3_Weights": {"init_weights": False},
}


@pytest.fixture(scope="module")
def tool(operations):
    """What `tools/weights.py` defines."""
    return runpy.run_path(str(ROOT / "tools" / "weights.py"))


NAMES = [
    (module.name, library)
    for module in pkgutil.iter_modules(names.__path__)
    for library in (*loading.LIBRARIES, "keras")
    if hasattr(importlib.import_module(f"kapps.weights.names.{module.name}"), library)
]


@pytest.mark.parametrize("headless", [False, True])
@pytest.mark.parametrize("family, library", NAMES)
def test_unused_prefixes_are_the_head_and_the_auxiliary_classifiers(family, library, headless):
    function = getattr(importlib.import_module(f"kapps.weights.names.{family}"), library)
    layers = ["level0_conv1"] if headless else ["level0_conv1", "head_logits"]
    model = types.SimpleNamespace(layers=[types.SimpleNamespace(name=name) for name in layers])
    unused = _assign.unused_prefixes(model, function)
    head = f"{_assign.other_name(function, 'head_logits', layers)}."
    assert (head in unused) == headless
    if library == "torchvision":
        auxiliary = {"googlenet_bn": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
        assert set(auxiliary.get(family, ())) <= set(unused)
    assert not "features.0.weight".startswith(unused)


@pytest.mark.peers
def test_manifest_is_that_of_the_installed_libraries(tool):
    rows = [{key: str(value) for key, value in row.items()} for row in tool["rows"]()]
    with open(ROOT / "kapps/weights/manifest.csv", newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == rows
    assert (ROOT / "docs/weights.md").read_text(encoding="utf-8") == tool["document"](rows)


@pytest.mark.peers
def test_licences_are_those_of_the_packages(tool):
    def first(package, name):
        files = importlib.metadata.files(package)
        return next(file for file in files if file.name == name).read_text(encoding="utf-8")

    assert first("torchvision", "LICENSE").startswith("BSD 3-Clause License")
    assert "Apache License" in first("keras", "LICENSE")[:300]


def state(row):
    """Returns the shapes in a publisher's state dict: {name: shape}, without any values."""
    import torch

    # torchvision's RegNets compute their widths with tensors.
    with torch.device("cpu" if row.checkpoint.startswith("RegNet") else "meta"):
        if row.source == "timm":
            import timm

            model = timm.create_model(row.checkpoint.partition(".")[0])
        else:
            import torchvision.models

            enum, _, weights = row.checkpoint.partition(".")
            best = getattr(getattr(torchvision.models, enum), weights)
            names = [
                name
                for name in torchvision.models.list_models(module=torchvision.models)
                if best in torchvision.models.get_model_weights(name)
            ]
            model = torchvision.models.get_model(names[0], **PLAIN.get(enum, {}))
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


@pytest.mark.peers
def test_published_network_has_the_mapped_names_and_sizes(published_name, operations):
    name = published_name
    row = cards.checkpoints()[name]
    module = importlib.import_module(f"kapps.weights.names.{cards.card(name).family}")
    size = 64 if cards.card(name).minimum <= 64 else 96
    model = getattr(kapps, name)(input_shape=(size, size, 3))
    function = getattr(module, row.source)
    theirs = {
        key: shape for key, shape in state(row).items() if not key.endswith(torch_state_dict.UNUSED)
    }
    keys = torch_state_dict.state_dict_keys(model, function)
    assert keys <= set(theirs)
    unused = _assign.unused_prefixes(model, function)
    assert all(key.startswith(unused) for key in set(theirs) - keys)
    for layer, variable, key in torch_state_dict._pairs(model, function):
        assert np.prod(theirs[key]) == np.prod(variable.shape), (key, layer.name)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["googlenet_bn_3x3", "inception_v3"])
def test_torchvisions_inceptions_read_images_from_minus_one_to_one(name, tool, monkeypatch):
    """With weights, its network converts the output of its own preprocessing to this range."""
    import torch
    import torchvision.models

    enum, _, weights = cards.checkpoints()[name].checkpoint.partition(".")
    weights = getattr(getattr(torchvision.models, enum), weights)
    other = models.rows()[name]["torchvision"]
    file = importlib.import_module(f"torchvision.models.{other.replace('_v3', '')}")
    network, arguments = (
        getattr(file, {"googlenet": "GoogLeNet", "inception_v3": "Inception3"}[other]),
        {},
    )

    def record(**options):
        arguments.update(options)
        raise InterruptedError

    monkeypatch.setattr(file, network.__name__, record)
    with pytest.raises(InterruptedError):
        torchvision.models.get_model(other, weights=weights)
    assert arguments["transform_input"] is True

    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 5, 3)).astype("float32")
    steps = weights.transforms()
    images = torch.from_numpy((pixels / 255 - steps.mean) / steps.std).permute(0, 3, 1, 2)
    model = network(transform_input=True, init_weights=False, aux_logits=False)
    expected = model._transform_input(images).permute(0, 2, 3, 1).numpy()
    ours = cards.card(name, weights="imagenet").preprocessing
    np.testing.assert_allclose(
        (pixels * ours.scale - ours.mean) / ours.std, expected, rtol=1e-5, atol=1e-6
    )

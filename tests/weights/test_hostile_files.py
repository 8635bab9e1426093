"""Weights files of each kind in `tools/faults/weight_files.py`: honest ones load, hostile ones are one line."""

import itertools
import pathlib
import random
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps.weights import to_torch
from kapps.weights.names import resnet_cifar

TOOLS = str(pathlib.Path(__file__).parents[2] / "tools" / "faults")
sys.path.insert(0, TOOLS)
try:
    import hostile_keras_files
    import torch_files
    from hostile_torch_files import KEYS, KINDS, Case
finally:
    sys.path.remove(TOOLS)

TINY = {"n": 1, "input_shape": (8, 8, 3), "classes": 5}
SLOW = ("honest_keras", "keras", "hdf5", "zip_bomb", "checkpoint")
"""Kinds that are tested once: each HDF5 file is checked in a new process."""


def build(**options):
    return kapps.families.resnet_cifar(**TINY, **options)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The state dict of a small network, its files by suffix, and the network."""
    folder, model = tmp_path_factory.mktemp("honest"), build()
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype("float32") for w in model.weights])
    arrays = {
        k: np.ascontiguousarray(v) for k, v in to_torch(model, resnet_cifar.akamaster).items()
    }
    files = {
        suffix: folder / f"model{suffix}" for suffix in (".weights.h5", ".keras", ".safetensors")
    }
    model.save_weights(files[".weights.h5"])
    model.save(files[".keras"])
    save_file(arrays, files[".safetensors"])
    return arrays, files, model


def error_message(path):
    """Returns the error for a file, which is one line of printable characters with the file's name."""
    with pytest.raises(ValueError) as caught:
        build(weights=path)
    message = str(caught.value)
    assert message.isprintable() and str(path) in message and len(message) < 1000
    return message


def assert_loads(path, model, within=0.0):
    loaded = build(weights=path)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=within, atol=0)


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name][1] in ("load", "error")])
def test_kinds_of_files(name, honest, tmp_path):
    arrays, files, model = honest
    make, expectation = KINDS[name]
    for seed in range(1 if name.startswith(SLOW) else 3):
        suffix, content = make(Case(random.Random(f"{name} {seed}"), arrays, files, tmp_path))
        path = tmp_path / f"{seed}{suffix}"
        path.write_bytes(content)
        if expectation == "load":
            assert_loads(path, model, within=2**-7)
        else:
            error_message(path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_mutated_files_load_or_are_one_line(seed, honest, tmp_path):
    arrays, files, _ = honest
    suffix, content = hostile_keras_files._mutated(
        Case(random.Random(seed), arrays, files, tmp_path)
    )
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    error = None
    try:
        build(weights=path)
    except ValueError as raised:
        error = str(raised)
    assert error is None or (error.isprintable() and str(path) in error)


PREFIXES = [
    "module.",
    "_orig_mod.",
    "_orig_mod.module.",
    "model.",
    "net.",
    "encoder.",
    "backbone.",
    "model.module.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_trainers(prefix, honest, tmp_path):
    arrays, _, model = honest
    state = {prefix + name: array for name, array in arrays.items()}
    save_file(state, tmp_path / "model.safetensors")
    assert_loads(tmp_path / "model.safetensors", model)
    tensors = torch_files.Tensors()
    content = {"state_dict": torch_files.state(state, tensors), "epoch": 3}
    (tmp_path / "last.ckpt").write_bytes(torch_files.archive(content, tensors))
    assert_loads(tmp_path / "last.ckpt", model)


def test_parts_that_wrappers_add_inside_names(honest, tmp_path):
    arrays, _, model = honest
    state = {
        name.replace("layer1.0.", "layer1._orig_mod.0.module."): x for name, x in arrays.items()
    }
    assert set(state) != set(arrays)
    save_file(state, tmp_path / "model.safetensors")
    assert_loads(tmp_path / "model.safetensors", model)


def test_prefix_that_is_not_removed(honest, tmp_path):
    arrays, _, _ = honest
    path = tmp_path / "model.safetensors"
    save_file({f"foo.{name}": array for name, array in arrays.items()}, path)
    message = error_message(path)
    assert "it lacks bn1.bias and 36 more" in message and "Did you mean foo.bn1.bias" in message
    save_file(
        {f"model.{name}": array for name, array in arrays.items()} | {"loss.w": np.ones(3)}, path
    )
    assert "1 more tensors, such as loss.w" in error_message(path)


@pytest.mark.parametrize("key, other", list(itertools.pairwise(KEYS)))
def test_keys_of_trainers(key, other, honest, tmp_path, capsys):
    arrays, _, model = honest
    tensors, path = torch_files.Tensors(), tmp_path / "checkpoint.pth.tar"
    state = torch_files.state(arrays, tensors)
    path.write_bytes(torch_files.archive({"epoch": 3, key: state, "optimizer": {}}, tensors))
    assert_loads(path, model)
    assert not capsys.readouterr().err
    zeros = torch_files.state({name: 0 * array for name, array in arrays.items()}, tensors)
    averaged = [name for name in (key, other) if "ema" in name] or [
        min(key, other, key=ORDER.index)
    ]
    content = {name: state if name == averaged[0] else zeros for name in (key, other)}
    path.write_bytes(torch_files.sequence(content, tensors))
    if len(averaged) == 1:
        assert_loads(path, model)
        line = capsys.readouterr().err
        assert key in line and other in line and f"{averaged[0]} is loaded" in line


ORDER = ["state_dict", "model_state_dict", "model", "network", "params"]


def test_nested_keys(honest, tmp_path):
    arrays, _, model = honest
    tensors, path = torch_files.Tensors(), tmp_path / "checkpoint.bin"
    state = torch_files.state({f"module.{name}": x for name, x in arrays.items()}, tensors)
    path.write_bytes(torch_files.archive({"model": {"state_dict": state, "step": 1}}, tensors))
    assert_loads(path, model)


def test_nan_is_loaded_where_it_is_allowed(honest, tmp_path):
    arrays, _, _ = honest
    arrays = {name: array.copy() for name, array in arrays.items()}
    name = list(arrays)[-1]
    arrays[name][0] = np.nan
    path = tmp_path / "model.safetensors"
    save_file(arrays, path)
    message = error_message(path)
    assert f"{name} is (5,) and has values that are NaN" in message and "allow_nan=True" in message
    loaded = build(weights=path, allow_nan=True)
    assert np.isnan(loaded.get_weights()[-1][0]) and np.isfinite(loaded.get_weights()[0]).all()


def test_weights_of_other_kinds_of_paths(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    assert "is a directory" in error_message(tmp_path / "folder.pth")
    assert "there is no weights file" in error_message(tmp_path / "nothing.ckpt")
    for weights in (3, b"model.pth", "", "model\0.pth", "x" * 5000, "imagent", ["model.pth"]):
        with pytest.raises(ValueError, match=r"weights is None|there is no weights file") as caught:
            build(weights=weights)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 500

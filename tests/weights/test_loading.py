"""Files of weights: every kind, and those that somebody meant ill with."""

import json
import pickle
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

import kapps
from kapps.weights import to_torch
from kapps.weights.names import resnet_cifar

SMALL = {"input_shape": (8, 8, 3), "classes": 5}


@pytest.fixture
def model(randomise):
    """A small network, each of its values its own."""
    return randomise(kapps.resnet20_cifar(**SMALL))


def refused(path):
    """Returns the one line that a file is refused with."""
    with pytest.raises(ValueError) as caught:
        kapps.resnet20_cifar(weights=path, **SMALL)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def same(model, path):
    loaded = kapps.resnet20_cifar(weights=path, **SMALL)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def state_dict(model):
    state = to_torch(model, resnet_cifar.akamaster)
    return {key: np.ascontiguousarray(value) for key, value in state.items()}


def test_a_keras_file_gives_its_numbers_alone(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    same(model, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = json.dumps({"module": "os", "class_name": "system"}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    same(model, path)  # the configuration, which names something else, is not read


def test_safetensors_by_another_librarys_names(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(state_dict(model), path)
    same(model, path)
    state = state_dict(model)
    state["convolution1.weight"] = state.pop("conv1.weight")
    save_file(state, path)
    assert "it lacks conv1.weight" in refused(path) and "akamaster" in refused(path)
    path.write_bytes(path.read_bytes()[:1000])
    assert "does not hold this model's weights" in refused(path)


def test_a_state_dict_with_one_tensor_more_or_of_another_shape(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({**state_dict(model), "extra": np.zeros(3)}, path)
    assert "1 tensors more, such as extra" in refused(path)
    state = state_dict(model)
    state["conv1.weight"] = state["conv1.weight"][:, :2].copy()
    save_file(state, path)
    assert "conv1.weight is (16, 2, 3, 3)" in refused(path)


@pytest.mark.parametrize("link", ["external", "soft"])
def test_hdf5_that_points_elsewhere_is_refused(model, tmp_path, link):
    path, secret = tmp_path / "model.weights.h5", tmp_path / "secret.h5"
    model.save_weights(path)
    with h5py.File(secret, "w") as file:
        file["value"] = np.zeros(16)
    links = {"external": h5py.ExternalLink(str(secret), "value"), "soft": h5py.SoftLink("/layers")}
    with h5py.File(path, "a") as file:
        file["layers/away"] = links[link]
    assert "is refused" in refused(path) and "link to elsewhere" in refused(path)


def test_hdf5_with_values_in_another_file_is_refused(model, tmp_path):
    path, secret = tmp_path / "model.weights.h5", tmp_path / "secret.bin"
    model.save_weights(path)
    secret.write_bytes(bytes(64))
    with h5py.File(path, "a") as file:
        file.create_dataset("layers/away", (16,), "float32", external=[(str(secret), 0, 64)])
    assert "lie in another file" in refused(path)


def test_hdf5_that_declares_too_much_is_refused(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as file:  # declared, and never written: a few bytes on the disk
        file.create_dataset("layers/bomb", (2**40,), "float32", chunks=(2**20,))
    assert path.stat().st_size < 4_000_000
    assert "it declares 1,099,5" in refused(path)


def test_a_keras_file_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2**26))
    assert path.stat().st_size < 2**18
    assert "is refused: its weights take 67,108,864 bytes" in refused(path)


def test_a_file_that_does_not_fit_leaves_nothing_behind(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "does not hold this model's weights" in refused(path)
    path.with_suffix(".keras").write_bytes(b"no archive")
    assert "does not hold this model's weights" in refused(path.with_suffix(".keras"))


@pytest.mark.parametrize("name", ["model.pkl", "model.h5", "model", "model.onnx"])
def test_other_files_are_refused_unread(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps("anything"))
    assert ".safetensors" in refused(path)


class Evil:
    """What a pickle can do when it is read."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('it ran')",))


@pytest.mark.peers
def test_a_state_dict_of_pytorch_and_a_pickle_that_runs(model, tmp_path):
    import torch

    path = tmp_path / "model.pth"
    state = {f"module.{key}": torch.from_numpy(x) for key, x in state_dict(model).items()}
    torch.save({"state_dict": state}, path)
    same(model, path)
    torch.save({"state_dict": {"conv1.weight": Evil()}}, path)
    assert "it holds more than tensors" in refused(path)
    torch.save([1, 2], path)
    assert "holds no state dict" in refused(path)

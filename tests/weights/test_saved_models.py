"""Models in `.keras` files of others: what they declare is checked before the model is built."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from kapps.weights import saved_models


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The parts of the file of a small compiled model, {name: content}."""
    path = tmp_path_factory.mktemp("models") / "model.keras"
    layers = [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    model.save(path)
    assert saved_models.load_model(path).count_params() == model.count_params()
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_units(units):
    return lambda parts: {
        "config.json": parts["config.json"].replace(b'"units": 3', b'"units": %d' % units)
    }


LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "config": {"function": "x"},
    "registered_name": None,
}
CHANGES = {
    "its model has 1": with_units(2 * 10**9),
    "its model has 5": with_units(10**12),
    "cannot be loaded": lambda _: {"config.json": json.dumps(LAMBDA).encode()},
    "does not describe a model": lambda _: {"config.json": b"[1]"},
    "incomplete or corrupt": lambda _: {"config.json": b"{" * 10},
    "recursion": lambda _: {"config.json": b"[" * 100_000},
    "more than 8,388,608 bytes": lambda _: {"config.json": b" " * 10_000_000},
    "outside its folder: ../x": lambda _: {"../x": b"x"},
    "outside its folder: /tmp/x": lambda _: {"/tmp/x": b"x"},
    "file signature not found": lambda _: {"model.weights.h5": b"no HDF5"},
}


@pytest.mark.parametrize("reason", CHANGES)
def test_other_files_are_one_line(reason, parts, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | CHANGES[reason](parts)).items():
            archive.writestr(name, content)
    with pytest.raises(ValueError) as caught:
        saved_models.load_model(path)
    message = str(caught.value)
    assert message.isprintable() and str(path) in message and reason in message


def test_weights_that_are_not_finite(parts, tmp_path):
    path, weights = tmp_path / "model.keras", tmp_path / "model.weights.h5"
    weights.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        file["layers/dense/vars/0"][0, 0] = np.nan
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {weights.name: weights.read_bytes()}).items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="NaN or infinite"):
        saved_models.load_model(path)
    loaded = saved_models.load_model(path, allow_nan=True)
    assert np.isnan(loaded.layers[-1].get_weights()[0][0, 0])

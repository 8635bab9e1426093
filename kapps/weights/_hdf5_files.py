"""Reads HDF5 files: the weights that Keras saves, and those of Keras Applications."""

import os
import pathlib
import subprocess
import sys

import h5py
import keras
import numpy as np

from kapps.weights import _hdf5_scan
from kapps.weights._messages import first_line, printable
from kapps.weights._stored_array import StoredArray
from kapps.weights.keras_applications import named_arrays

SECONDS, BYTES_PER_SECOND = 60, 1e7
"""Longest time of a check, so that a slow disk and a busy machine are no error."""


def check_hdf5_file(path: pathlib.Path) -> None:
    """Checks a file in a process of its own, as `_hdf5_scan.py` describes.

    Raises:
        ValueError: with the reason, without the file's name.
    """
    command = [sys.executable, "-P", _hdf5_scan.__file__, os.fspath(path)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONIOENCODING": "utf-8",
    }
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, encoding="utf-8", errors="replace",
            timeout=SECONDS + path.stat().st_size / BYTES_PER_SECOND, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ValueError("it takes too long to read") from error
    if result.stdout.strip():
        raise ValueError(first_line(result.stdout))
    if result.returncode < 0:
        raise ValueError("it is corrupt: the HDF5 library does not read it in its time and memory")
    if result.returncode:
        raise ValueError(f"it cannot be checked: {first_line(result.stderr[-300:])}")


def is_keras_applications(path: pathlib.Path) -> bool:
    """Returns whether a file has the layout of Keras 2, as those of Keras Applications."""
    with h5py.File(path, "r") as file:
        return "layer_names" in file.attrs or "model_weights" in file


def read_layers(file: h5py.File) -> dict[str, list[StoredArray]] | None:
    """Returns {layer's name: its arrays} of a file of Keras 3, or None if the file does not name its layers.

    Older versions of Keras write no names, and layers that contain cells or layers have none for them.
    """
    layers = {}
    for group in file.get("layers", {}).values():
        if not isinstance(group, h5py.Group):
            continue
        nested = [name for name in group if name not in ("vars", "seed_generator")]
        if any(len(group[name]) for name in nested):
            return None
        values = group.get("vars", {})
        if len(values) == 0:
            continue
        if "name" not in values.attrs:
            return None
        name = str(values.attrs["name"])
        if name in layers:
            raise ValueError(f"it has two layers called {printable(name)}")
        if set(values) != {str(i) for i in range(len(values))}:
            raise ValueError(f"the arrays of {printable(name)} are not numbered from 0")
        layers[name] = [_stored_array(values[str(i)]) for i in range(len(values))]
    return layers


def layer_names(file: h5py.File) -> set[str] | None:
    """Returns the names of all layers in a file of Keras 3, or None if the file does not name its layers."""
    names = set()
    for group in file.get("layers", {}).values():
        values = group.get("vars") if isinstance(group, h5py.Group) else None
        if values is not None and "name" in values.attrs:
            names.add(str(values.attrs["name"]))
    return names or None


def _stored_array(item):
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{printable(item.name)} is not an array")
    return StoredArray(item.shape, item.dtype.name, lambda: item[()])


def read_keras_applications(
    path: pathlib.Path, name: str | tuple[str, dict], widths: set[int]
) -> dict[str, list[np.ndarray]]:
    """Returns the weights in a file of Keras Applications: {layer's name: its arrays}.

    Keras matches layers by their order, since old files have other names; so the network of Keras Applications loads
    the file.

    Args:
        path: of the file.
        name: of the function in `keras.applications`, or (name, its options).
        widths: of a prediction layer that the file may have.
    """
    name, member = name if isinstance(name, tuple) else (name, {})
    with h5py.File(path, "r") as file:
        width = _last_dense_width(file.get("model_weights", file))
    if width is not None and width not in widths:
        allowed = " or ".join(f"{n:,}" for n in sorted(widths))
        raise ValueError(f"it has {width:,} classes, and the model takes {allowed}")
    options = {"include_top": width is not None, "classes": width or 1000, "weights": None}
    options |= member
    network = getattr(keras.applications, name)(**options)
    try:
        network.load_weights(path)
    except Exception as error:  # Keras raises any error for another HDF5 file
        raise ValueError(f"Keras cannot read it: {first_line(error)}") from error
    return named_arrays(network)


def _last_dense_width(group):
    """Returns the width of the prediction layer in a file, or None if it has none; each array must have one name."""
    width, seen = None, set()
    for name in group.attrs.get("layer_names", ()):
        layer = group[name]
        for weight in layer.attrs.get("weight_names", ()):
            item = layer[weight]
            if item.name in seen or not isinstance(item, h5py.Dataset):
                raise ValueError(
                    f"{printable(item.name)} is not an array, or belongs to two layers"
                )
            seen.add(item.name)
            # The classifier of MobileNet is a 1x1 convolution.
            if item.ndim == 2 or "/conv_preds/" in item.name:
                width = item.shape[-1]
    return width

"""What files of weights hold, as arrays: numbers alone, nothing in a file is run.

A `.keras` file's configuration is never read, HDF5 that points outside itself is refused, and of a `.pth` file's
pickle nothing but tensors (`kapps.weights.pickled`). What a file declares is compared with the model before it is read.
"""

import math
import pathlib
import zipfile

import h5py
import keras
import numpy as np

from kapps.weights import pickled
from kapps.weights.applications import arrays
from kapps.weights.fitting import room

INSIDE = "model.weights.h5"
"""The weights in a `.keras` file, which is a zip archive."""
SPARE = 2**25
"""Bytes that a file may hold beside the model's values."""
DAMAGED = "is no whole file of weights"


def whole(path):
    """Refuses, before anything is built, what is visibly no whole file: cut short, or with a wrong checksum inside.

    Zip archives, so `.keras` and today's `.pth` files, have a checksum of each part; HDF5 and `.safetensors` say how
    long they are, and nothing of their values.

    Raises:
        ValueError: what is wrong, without the file's name.
    """
    try:
        if path.name.endswith(".h5"):
            h5py.File(path, "r").close()
        elif path.suffix == ".safetensors":
            _safetensors_length(path)
        elif zipfile.is_zipfile(path) or path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                size = sum(part.file_size for part in archive.infolist())
                # What unpacks to far more is refused where the model is known, and not unpacked here.
                damaged = size < 4 * path.stat().st_size + SPARE and archive.testzip()
            if damaged:
                raise ValueError(f"the checksum of {damaged} is wrong")
    except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(first_line(error)) from error


def _safetensors_length(path):
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):  # compares the offsets in its header with its length
            pass
    except SafetensorError as error:
        raise ValueError(first_line(error)) from error


def first_line(error):
    """Returns what an error says first."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def refuse(model, path):
    """Refuses HDF5 that points outside itself, or declares more than the model has."""
    values = 0
    with h5py.File(path, "r") as file:
        groups = [file]
        while groups:
            group = groups.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(
                        f"{model.name}: {path} is refused: {group.name}/{name} is a link to elsewhere"
                    )
                item = group[name]
                if isinstance(item, h5py.Group):
                    groups.append(item)
                    continue
                if item.external or item.is_virtual:
                    raise ValueError(
                        f"{model.name}: {path} is refused: the values of {item.name} lie in another file"
                    )
                if item.dtype.kind not in "fiub":
                    raise ValueError(
                        f"{model.name}: {path} is refused: {item.name} holds no numbers"
                    )
                values += math.prod(item.shape)
    most = room(model)
    if values > most + SPARE // 4:
        raise ValueError(
            f"{model.name}: {path} is refused: it declares {values:,} values, and {most:,} is much for the model"
        )


def layers(path):
    """Returns {layer's name: its arrays} of a `.weights.h5` file, or None where only Keras knows whose they are.

    That is where an older Keras wrote no names, and where layers have cells or layers inside them.
    """
    found = {}
    with h5py.File(path, "r") as file:
        for group in file.get("layers", {}).values():
            if not isinstance(group, h5py.Group):
                continue
            inside = [name for name in group if name not in ("vars", "seed_generator")]
            if any(len(group[name]) for name in inside):
                return None
            values = group.get("vars", {})
            if len(values) == 0:
                continue
            if "name" not in values.attrs:
                return None
            order = sorted(values, key=int)
            found[str(values.attrs["name"])] = [np.asarray(values[key]) for key in order]
    return found


def applications(path, name):
    """Returns the weights in a file of Keras Applications: {layer's name: its arrays}.

    Keras goes by the order of the layers, whose names in old files are others; so its own network reads the file.

    Args:
        path: of the file.
        name: of the function in `keras.applications`.
    """
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        last = _dense(group)
    options = {"include_top": last is not None, "classes": last or 1000, "weights": None}
    network = getattr(keras.applications, name)(**options)
    try:
        network.load_weights(path)
    except (TypeError, AttributeError, IndexError) as error:  # what Keras says of another HDF5 file
        raise ValueError(f"Keras cannot read it: {first_line(error)}") from error
    return arrays(network)


def _dense(group):
    """Returns the width of the last dense layer in a file, or None where it has none."""
    found = None
    for name in group.attrs.get("layer_names", ()):
        layer = group[name]
        for weight in layer.attrs.get("weight_names", ()):
            if layer[weight].ndim == 2:
                found = layer[weight].shape[-1]
    return found


def unpacked(model, path, folder):
    """Returns the path of a `.keras` file's weights, taken out into a folder."""
    most = 8 * room(model) + SPARE
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(INSIDE).file_size
        if size > most:
            raise ValueError(
                f"{model.name}: {path} is refused: its weights take {size:,} bytes, and {most:,} is much for the model"
            )
        return pathlib.Path(archive.extract(INSIDE, folder))


def state_dict(model, path):
    """Returns the state dict of a `.safetensors` or PyTorch file: {name: array}."""
    most = 8 * room(model) + SPARE
    if path.stat().st_size > most:
        raise ValueError(
            f"{model.name}: {path} is refused: it has {path.stat().st_size:,} bytes, and {most:,} is much for the model"
        )
    return (
        _safetensors(model, path) if path.suffix == ".safetensors" else _pickled(model, path, most)
    )


def _safetensors(model, path):
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{model.name}: {path} {DAMAGED} ({first_line(error)})") from error


def _pickled(model, path, most):
    try:
        state = pickled.load(path, most)
    except pickled.MoreThanTensors as error:
        raise ValueError(
            f"{model.name}: {path} is refused: it holds more than tensors ({error}), which could run anything"
        ) from error
    except ValueError as error:
        raise ValueError(f"{model.name}: {path} {DAMAGED} ({error})") from error
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(x, np.ndarray) for x in state.values()):
        raise ValueError(f"{model.name}: {path} holds no state dict")
    return {key.removeprefix("module."): array for key, array in state.items()}

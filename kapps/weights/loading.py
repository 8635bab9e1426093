"""Weights from a file into a network that our code built: numbers alone, nothing in a file is run.

A `.keras` file's configuration is never read, HDF5 that points outside itself is refused, and a `.pth` file's pickle
goes through PyTorch's own restricted reader. What a file declares is compared with the model before it is read.
"""

import importlib
import math
import os
import pathlib
import tempfile
import warnings
import zipfile

import h5py

from kapps.cards import nearest
from kapps.weights.interchange import from_torch, to_torch

SUFFIXES = (".weights.h5", ".keras", ".safetensors", ".pth", ".pt", ".th")
INSIDE = "model.weights.h5"
"""The weights in a `.keras` file, which is a zip archive."""
SPARE = 2**24
"""Bytes that a file may hold beside the model's values."""


def load(model, weights, family):
    """Loads a file of weights into a model, or leaves the model as it is.

    Args:
        model: a `keras.Model` that a kapps builder made.
        weights: path of a `.weights.h5` or `.keras` file of this network, or of a `.safetensors`, `.pth`, `.pt` or
            `.th` file of the same network in another library, by the names in `kapps.weights.names`.
        family: the name of the model's family.

    Raises:
        ValueError: in one line, for what is no such file, and for one that does not hold this model's weights.
    """
    path = pathlib.Path(weights) if isinstance(weights, (str, os.PathLike)) else None
    if path is None or not path.name.endswith(SUFFIXES):
        raise ValueError(
            f"{model.name}: weights is None or the path of a file ({' '.join(SUFFIXES)}), not {weights!r}"
        )
    if not path.is_file():
        raise ValueError(f"{model.name}: there is no weights file {path}")
    try:
        if path.name.endswith(".weights.h5"):
            _hdf5(model, path)
        elif path.suffix == ".keras":
            _keras(model, path)
        else:
            _torch(model, path, family)
    except (OSError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise _unfit(model, path, error) from error


def _unfit(model, path, error):
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ValueError(f"{model.name}: {path} does not hold this model's weights ({reason})")


def _hdf5(model, path):
    _refuse(model, path)
    before = model.get_weights()
    try:
        with warnings.catch_warnings():
            # Where a file holds less than the model, Keras warns of each part.
            warnings.filterwarnings("error", "Skipping nested container")
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        model.set_weights(before)
        raise _unfit(model, path, error) from error


def _refuse(model, path):
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
    most = sum(math.prod(variable.shape) for variable in model.weights)
    if values > most + SPARE // 4:
        raise ValueError(
            f"{model.name}: {path} is refused: it declares {values:,} values, and the model has {most:,}"
        )


def _keras(model, path):
    most = 8 * sum(math.prod(variable.shape) for variable in model.weights) + SPARE
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        size = archive.getinfo(INSIDE).file_size
        if size > most:
            raise ValueError(
                f"{model.name}: {path} is refused: its weights take {size:,} bytes, and {most:,} is much for the model"
            )
        try:
            _hdf5(model, pathlib.Path(archive.extract(INSIDE, folder)))
        except ValueError as error:
            raise ValueError(str(error).replace(os.path.join(folder, INSIDE), str(path))) from error


def _torch(model, path, family):
    most = 8 * sum(math.prod(variable.shape) for variable in model.weights) + SPARE
    if path.stat().st_size > most:
        raise ValueError(
            f"{model.name}: {path} is refused: it has {path.stat().st_size:,} bytes, and {most:,} is much for the model"
        )
    state = _safetensors(model, path) if path.suffix == ".safetensors" else _pickled(model, path)
    libraries = _libraries(family)
    expected = {name: set(to_torch(model, function)) for name, function in libraries.items()}
    for name, function in libraries.items():
        if expected[name] <= set(state):
            try:
                from_torch(model, state, function)
            except ValueError as error:
                reason = str(error).removeprefix(f"{model.name}: ")
                raise ValueError(f"{model.name}: {path}: {reason}") from error
            return
    missing = min((sorted(keys - set(state)) for keys in expected.values()), key=len, default=[])
    raise ValueError(
        f"{model.name}: {path} does not hold this model's weights "
        + (
            f"(it lacks {missing[0]}.{nearest(missing[0], state)} Known are the names of {', '.join(libraries)})"
            if missing
            else f"(no other library's names are known for {family})"
        )
    )


def _libraries(family):
    """Returns {library: function from our layers' names to its} of a family."""
    try:
        module = importlib.import_module(f"kapps.weights.names.{family}")
    except ModuleNotFoundError:
        return {}
    found = vars(module).items()
    return {
        name: value
        for name, value in found
        if callable(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def _safetensors(model, path):
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _unfit(model, path, error) from error


def _pickled(model, path):
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{model.name}: {path} takes PyTorch to read: pip install torch, or give a .safetensors file"
        ) from error
    import pickle

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{model.name}: {path} is refused: it holds more than tensors, which could run anything"
        ) from error
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(x, torch.Tensor) for x in state.values()):
        raise ValueError(f"{model.name}: {path} holds no state dict")
    return {key.removeprefix("module."): tensor.numpy() for key, tensor in state.items()}

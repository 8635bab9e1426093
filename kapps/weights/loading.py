"""Loads weights, by name or from a file, into a model that a kapps builder made."""

import importlib
import os
import pathlib
import re
import tempfile
import warnings
import zipfile

from kapps import cards
from kapps._names import nearest
from kapps.weights import _readers, download
from kapps.weights._assign import assign, unused_prefixes
from kapps.weights.keras_applications import from_keras
from kapps.weights.torch_state_dict import from_torch, state_dict_keys

SUFFIXES = (".weights.h5", ".h5", ".keras", ".safetensors", ".pth", ".pt", ".th")
LIBRARIES = ("torchvision", "timm", "pytorchcv", "akamaster")
"""Libraries whose names a state dict may have: functions of this name in the modules of `kapps.weights.names`."""


def find_weights(weights: str | os.PathLike, name: str, model: str) -> pathlib.Path:
    """Returns the path of a builder's weights, verified before the model is built.

    Args:
        weights: "imagenet", or the path of a file.
        name: of the builder, under which weights are published, or of the family.
        model: name of the user's model, for errors.

    Raises:
        ValueError: in one line, if `weights` is neither "imagenet" nor the path of a weights file, if a published file
            differs from the publisher's, or if a file is incomplete or corrupt.
    """
    if weights == "imagenet":
        return download.download(cards.get_checkpoint(name))
    path = pathlib.Path(weights) if isinstance(weights, (str, os.PathLike)) else None
    if path is None or not path.name.endswith(SUFFIXES):
        raise ValueError(
            f'{model}: weights is None, "imagenet" or the path of a file ({" ".join(SUFFIXES)}), not {weights!r}'
        )
    if not path.is_file():
        raise ValueError(f"{model}: there is no weights file {path}")
    for row in cards.checkpoints().values():
        if row.file != path.name:
            continue
        if row.name != name:
            raise ValueError(f"{model}: {path} has the name of the weights of {row.name}")
        download.verify(path, row, f"{path}")
    try:
        _readers.check_complete(path)
    except ValueError as error:
        raise ValueError(f"{model}: {path} does not hold this model's weights ({error})") from error
    return path


def load(model, path: pathlib.Path, name: str, family: str, classes: int = 1000) -> None:
    """Loads a file of weights into a model.

    Args:
        model: a `keras.Model` that a kapps builder made.
        path: of a `.weights.h5` or `.keras` file of this network, of a `.h5` file of the same network in Keras
            Applications, or of a `.safetensors`, `.pth`, `.pt` or `.th` file of it in another library, with the names
            in `kapps.weights.names`.
        name: of the builder, or of the family.
        family: name of the model's family.
        classes: of the pretrained weights. A model with other classes keeps its initial classifier.

    Raises:
        ValueError: in one line, if the file does not hold this model's weights. The model is not changed.
    """
    try:
        if path.name.endswith(".weights.h5"):
            _load_hdf5(model, path, classes)
        elif path.suffix == ".keras":
            _load_keras(model, path, classes)
        elif path.suffix == ".h5":
            _load_keras_applications(model, path, name, family, classes)
        else:
            _load_state_dict(model, path, family, classes)
    except (OSError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise _mismatch(model, path, error) from error


def _mismatch(model, path, error):
    reason = _readers.first_line(error).removeprefix(f"{model.name}: ")
    return ValueError(f"{model.name}: {path} does not hold this model's weights ({reason})")


def _load_hdf5(model, path, classes):
    _readers.check_hdf5(model, path)
    layers = _readers.read_layers(path)
    if layers is None:
        _load_with_keras(model, path)
        return
    values = []
    for layer in model.layers:
        arrays = layers.pop(layer.name, [])
        if len(arrays) != len(layer.weights):
            raise _mismatch(
                model,
                path,
                f"it has {len(arrays)} arrays for the {len(layer.weights)} of {layer.name}",
            )
        values += [
            (layer, variable, array, f"{variable.path} is {array.shape}")
            for variable, array in zip(layer.weights, arrays, strict=True)
        ]
    unused = tuple(prefix.rpartition("_")[0] for prefix in unused_prefixes(model, _same_name))
    extra = [name for name in layers if not name.startswith(unused)]
    if extra:
        raise _mismatch(model, path, f"it holds {len(extra)} more layers, such as {min(extra)}")
    try:
        assign(model, values, classes)
    except ValueError as error:
        raise _mismatch(model, path, error) from error


def _same_name(layer):
    return layer


def _load_with_keras(model, path):
    before = model.get_weights()
    try:
        with warnings.catch_warnings():
            # Keras warns of each part of the model that a file does not hold.
            warnings.filterwarnings("error", "Skipping nested container")
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        model.set_weights(before)
        raise _mismatch(model, path, error) from error


def _load_keras(model, path, classes):
    with tempfile.TemporaryDirectory() as folder:
        extracted = _readers.extract_weights(model, path, folder)
        try:
            _load_hdf5(model, extracted, classes)
        except ValueError as error:
            raise ValueError(str(error).replace(str(extracted), str(path))) from error


def _load_keras_applications(model, path, name, family, classes):
    _readers.check_hdf5(model, path)
    module = _names(family)
    other = getattr(module, "KERAS", {}).get(name)
    if other is None:
        raise _mismatch(
            model, path, f"Keras Applications has no network that is the same as {name}"
        )
    try:
        state = _readers.read_keras_applications(path, other)
        from_keras(model, state, module.keras, blue_first=module.BLUE_FIRST, classes=classes)
    except ValueError as error:
        raise _mismatch(model, path, error) from error


def _load_state_dict(model, path, family, classes):
    state = _readers.read_state_dict(model, path)
    module = _names(family)
    for old, new in getattr(module, "OLD", {}).items():
        state = {re.sub(old, new, key): array for key, array in state.items()}
    libraries = {name: vars(module)[name] for name in LIBRARIES if hasattr(module, name)}
    expected = {}
    for library, function in libraries.items():
        try:
            expected[library] = state_dict_keys(model, function)
        except (KeyError, AttributeError, ValueError):
            continue  # the library does not have this member of the family
        if expected[library] <= set(state):
            try:
                from_torch(model, state, function, classes)
            except ValueError as error:
                reason = str(error).removeprefix(f"{model.name}: ")
                raise ValueError(f"{model.name}: {path}: {reason}") from error
            return
    missing = min((sorted(names - set(state)) for names in expected.values()), key=len, default=[])
    reason = "its family has no names of other libraries"
    if missing:
        reason = (
            f"it lacks {missing[0]}.{nearest(missing[0], state)} "
            f"Its names must be those of {' or '.join(expected)}"
        )
    raise ValueError(f"{model.name}: {path} does not hold this model's weights ({reason})")


def _names(family):
    """Returns the module with other libraries' names for a family, or None."""
    try:
        return importlib.import_module(f"kapps.weights.names.{family}")
    except ModuleNotFoundError:
        return None

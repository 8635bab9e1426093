"""Loads weights, by name or from a file, into a model that a kapps builder made."""

import importlib
import os
import pathlib
import re
import warnings
from typing import Any

import h5py
import keras
import numpy as np

from kapps import cards
from kapps._keras_compat import give_values
from kapps._local_paths import local_path
from kapps._names import nearest
from kapps.weights import _formats, _hdf5_files, _state_dicts, download
from kapps.weights._assign import assign, may_fit, unused_prefixes
from kapps.weights._messages import as_value_errors, first_line, printable
from kapps.weights.functions import check_function
from kapps.weights.keras_applications import from_keras
from kapps.weights.published_padding import (
    OtherPaddingError,
    check_padding,
    network_padding,
    saved_padding,
)
from kapps.weights.torch_state_dict import from_torch, state_dict_keys

SUFFIXES = (
    ".weights.h5",
    ".h5",
    ".keras",
    ".safetensors",
    ".pth",
    ".pt",
    ".th",
    ".ckpt",
    ".bin",
    ".pth.tar",
)
"""Usual suffixes of weights files. The content decides, whatever the suffix is."""
LIBRARIES = (
    "torchvision", "timm", "pytorchcv", "akamaster", "quark0", "seungwonpark", "kalviny", "jongchan", "fyu",
    "lukemelas",
)  # fmt: skip
"""Libraries whose names a state dict may have: functions of this name in the modules of `kapps.weights.names`."""
MOST_SIMILAR = 5000
"""Names of a file that are compared with a missing one."""


def find_weights(weights: str | os.PathLike, name: str, model: str) -> pathlib.Path:
    """Returns the path of a builder's weights, verified before the model is built.

    Args:
        weights: "imagenet", or the path of a file.
        name: of the builder, under which weights are published, or of the family.
        model: name of the user's model, for errors.

    Raises:
        ValueError: in one line, if `weights` is neither "imagenet" nor the path of a weights file, if a published file
            differs from the publisher's, or if a file is incomplete, corrupt or malicious.
    """
    if weights == "imagenet":
        return download.download(cards.get_checkpoint(name))
    path = _existing_file(weights, model)
    for row in cards.checkpoints().values():
        if row.file != path.name:
            continue
        if row.name != name:
            raise ValueError(f"{model}: {path} has the name of the weights of {row.name}")
        download.verify(path, row, f"{path}")
    try:
        _formats.check_file(path)
    except ValueError as error:
        raise _mismatch(model, path, error) from error
    return path


def _existing_file(weights, model):
    """Returns the path of a file that exists."""
    path, problem = None, None
    if isinstance(weights, (str, os.PathLike)) and os.fspath(weights):
        try:
            path = local_path(weights, "weights")
            if path.is_file():
                return path
            problem = f"{path} is a directory" if path.is_dir() else None
        except (OSError, ValueError) as error:  # a name with NUL, or too long a name
            problem = printable(first_line(error), 60)
    if problem is None and path is not None and path.name.endswith(SUFFIXES):
        raise ValueError(f"{model}: there is no weights file {printable(path, 300)}")
    raise ValueError(
        f'{model}: weights is None, "imagenet" or the path of a file ({" ".join(SUFFIXES)}), '
        f"not {printable(repr(weights), 100)}{f' ({problem})' if problem else ''}"
    )


def load(
    model,
    path: pathlib.Path,
    name: str,
    family: str,
    classes: int = 1000,
    *,
    options: dict[str, Any],
    allow_nan: bool = False,
    exit_number: int | None = None,
) -> None:
    """Loads a file of weights into a model.

    Args:
        model: a `keras.Model` that a kapps builder made.
        path: of a file that `find_weights` returned: of Keras's weights of this network, of the same network in Keras
            Applications, or of a state dict of it in another library, with the names in `kapps.weights.names`.
        name: of the builder, or of the family.
        family: name of the model's family.
        classes: of the pretrained weights. A model with other classes keeps its initial classifier.
        options: of the model's body.
        allow_nan: whether NaN and infinite values are allowed.
        exit_number: of the exit that the model ends at, if it is a part of a network with several exits. The file may
            hold the whole network.

    Raises:
        ValueError: in one line, if the file does not hold this model's weights. The model is not changed.
        OtherPaddingError: if it holds those of the same network with another padding. The model is not changed.
    """
    try:
        with as_value_errors():
            kind = _formats.recognise(path)
            if kind in _formats.STATE_DICTS:
                state_dicts = _state_dicts.find_state_dicts(_formats.STATE_DICTS[kind](path))
                is_part = exit_number is not None
                _load_state_dict(
                    model, path, state_dicts, family, classes, options, allow_nan, is_part
                )
                return
            with _formats.hdf5_path(path, kind) as extracted:
                if _hdf5_files.is_keras_applications(extracted):
                    _load_keras_applications(model, extracted, name, family, classes, allow_nan)
                else:
                    _load_hdf5(model, extracted, classes, allow_nan, exit_number)
    except OtherPaddingError:
        raise
    except ValueError as error:
        raise _mismatch(model, path, error) from error


def _mismatch(model, path, error):
    name = model if isinstance(model, str) else model.name
    reason = str(error).removeprefix(f"{name}: ")
    return ValueError(f"{name}: {path} does not hold this model's weights ({reason})")


def _load_hdf5(model, path, classes, allow_nan, exit_number):
    with h5py.File(path, "r") as file:
        layers = _hdf5_files.read_layers(file)
        if layers is not None:
            check_padding(model, saved_padding(model, _hdf5_files.layer_names(file)))
            _load_layers(model, layers, classes, allow_nan, exit_number)
            return
    _load_with_keras(model, path, allow_nan)


def _load_layers(model, layers, classes, allow_nan, exit_number):
    layers = _without_prefix(model, layers)
    if (
        f"exit{exit_number}_logits" in layers
    ):  # of the whole network, where this exit is not the last
        layers = {**layers, "head_logits": layers[f"exit{exit_number}_logits"]}
    values = []
    for layer in model.layers:
        arrays = layers.pop(layer.name, [])
        if len(arrays) != len(layer.weights):
            raise ValueError(
                f"it has {len(arrays)} arrays for the {len(layer.weights)} of {layer.name}"
            )
        for variable, array in zip(layer.weights, arrays, strict=True):
            if not may_fit(model, layer, variable, array.size, classes):
                raise ValueError(
                    f"{variable.path} is {array.shape}, which does not fit {tuple(variable.shape)}"
                )
            values.append((layer, variable, array.read(), f"{variable.path} is {array.shape}"))
    unused = tuple(prefix.rpartition("_")[0] for prefix in unused_prefixes(model, _same_name))
    extra = [name for name in layers if not name.startswith(unused)]
    if extra and exit_number is None:
        raise ValueError(f"it holds {len(extra)} more layers, such as {printable(min(extra))}")
    assign(model, values, classes, allow_nan)


def _without_prefix(model, layers):
    """Returns a file's arrays by the names of the model's layers, without a prefix that all names in the file have."""
    first = next((layer.name for layer in model.layers if layer.weights), "")
    names = [name for name in layers if name.endswith(f"_{first}")]
    if first in layers or len(names) != 1:
        return layers
    prefix = names[0].removesuffix(first)
    if not all(name.startswith(prefix) for name in layers):
        return layers
    return {name.removeprefix(prefix): arrays for name, arrays in layers.items()}


def _same_name(layer):
    return layer


def _load_with_keras(model, path, allow_nan):
    give_values(model.variables)
    before = model.get_weights()
    try:
        with warnings.catch_warnings():
            # Keras warns of each part of the model that a file does not hold.
            warnings.filterwarnings("error", "Skipping nested container")
            model.load_weights(path)
        for variable in model.weights:
            values = keras.ops.convert_to_numpy(variable)
            if values.dtype.kind == "f" and not allow_nan and not np.isfinite(values).all():
                raise ValueError(
                    f"{variable.path} has values that are NaN, infinite or too large for "
                    f"{values.dtype}; allow_nan=True allows them"
                )
    except Exception:
        model.set_weights(before)
        raise


def _load_keras_applications(model, path, name, family, classes, allow_nan):
    module = _names(family)
    other = getattr(module, "KERAS", {}).get(name)
    if other is None:
        raise ValueError(f"Keras Applications has no network that is the same as {name}")
    heads = {layer.units for layer in model.layers if layer.name == "head_logits"}
    state = _hdf5_files.read_keras_applications(path, other, {classes, *heads})
    from_keras(
        model, state, module.keras, blue_first=module.BLUE_FIRST, classes=classes, allow_nan=allow_nan,
    )  # fmt: skip


def _load_state_dict(model, path, state_dicts, family, classes, options, allow_nan, is_part):
    """Loads the first of the state dicts whose names fit."""
    module = _names(family)
    functions = {name: vars(module)[name] for name in LIBRARIES if hasattr(module, name)}
    expected, closest = {}, None
    for library, function in functions.items():
        try:
            expected[library] = state_dict_keys(model, function)
        except (KeyError, AttributeError, ValueError):
            continue  # the library does not have this member of the family
    for key, original in state_dicts:
        current = _with_current_names(module, original)
        for library, names in expected.items():
            state = _state_dicts.strip_prefixes(current, names)
            missing = names - set(state)
            if not missing:
                state = {key: state[key] for key in names} if is_part else state
                others = [other for other, _ in state_dicts if other != key]
                function = functions[library]
                check_function(path, module, library, options, family)
                from_torch(
                    model, state, function, classes, padding=network_padding(path.name, function), allow_nan=allow_nan
                )  # fmt: skip
                _state_dicts.report_choice(model.name, path, key, others)
                return
            if closest is None or len(missing) < len(closest[0]):
                closest = missing, state
    if closest is None:
        raise ValueError("its family has no names of other libraries")
    missing, state = closest
    similar = list(state)[:MOST_SIMILAR]
    count = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise ValueError(
        f"it lacks {min(missing)}{count}.{printable(nearest(min(missing), similar), 200)} "
        f"Its names must be those of {' or '.join(expected)}"
    )


def _with_current_names(module, state):
    """Returns a state dict with the current names of a library that has changed them."""
    names = {name: name for name in state}
    for old, new in getattr(module, "OLD", {}).items():
        names = {name: re.sub(old, new, current) for name, current in names.items()}
    return _state_dicts.rename(state, names)


def _names(family):
    """Returns the module with other libraries' names for a family, or None."""
    try:
        return importlib.import_module(f"kapps.weights.names.{family}")
    except ModuleNotFoundError:
        return None

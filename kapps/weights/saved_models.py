"""Loads whole models from `.keras` files of anyone, after a check of what they declare."""

import json
import math
import os
import pathlib
import textwrap
import zipfile

import h5py
import keras
import numpy as np

from kapps._keras_compat import without_values
from kapps.weights import _formats
from kapps.weights._messages import as_value_errors, first_line, printable

CONFIGURATION = "config.json"
LARGEST_CONFIGURATION = 2**23
"""Bytes: more than the configuration of the largest network has."""
SPARE = 2**20
"""Values of variables that layers compute and files do not hold."""


def load_model(path: str | os.PathLike, *, allow_nan: bool = False) -> keras.Model:
    """Returns the model of a `.keras` file, not compiled. Keras's safe mode is on: no code of the file is run.

    The file's checksums, its weights and the names of its parts are checked first. Then the model is built without
    values, and the number of its values is compared with those in the file.

    Args:
        path: path of the file.
        allow_nan: whether weights may be NaN or infinite.

    Raises:
        ValueError: one line, for a file that is not a `.keras` file, that declares a larger model than it holds, and
            for a model that Keras cannot load.
    """
    path = pathlib.Path(path)
    try:
        with as_value_errors():
            configuration, values = _check(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a complete .keras file: {error}") from error
    try:
        _check_size(configuration, values)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded: {_reason(error)}") from error
    for variable in () if allow_nan else model.weights:
        values = keras.ops.convert_to_numpy(variable)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(
                f"{path} cannot be loaded: {variable.path} has values that are NaN or infinite"
            )
    return model


def _check(path):
    """Returns the configuration of a model and the number of values in its file, after a check of the file."""
    kind = _formats.check_file(path)
    if kind != _formats.KERAS:
        raise ValueError(f"it is {kind}; save the model with model.save('model.keras')")
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if ".." in name.split("/") or name.startswith("/") or "\\" in name or ":" in name:
                raise ValueError(f"it has a part outside its folder: {printable(name)}")
        if archive.getinfo(CONFIGURATION).file_size > LARGEST_CONFIGURATION:
            raise ValueError(f"{CONFIGURATION} has more than {LARGEST_CONFIGURATION:,} bytes")
        configuration = json.loads(archive.read(CONFIGURATION))
    if not isinstance(configuration, dict):
        raise ValueError(f"{CONFIGURATION} does not describe a model")
    configuration.pop("compile_config", None)
    with _formats.hdf5_path(path, kind) as weights, h5py.File(weights, "r") as file:
        values = _count_values(file)
    return configuration, values


def _check_size(configuration, values):
    """Builds a model without values, and raises ValueError if it has more of them than its file."""
    with without_values():
        model = keras.saving.deserialize_keras_object(configuration, safe_mode=True)
        declared = sum(math.prod(variable.shape) for variable in model.variables)
    if declared > values + SPARE:
        raise ValueError(
            f"its model has {declared:,} values, and its weights have {values:,} values"
        )


def _count_values(file):
    """Returns the number of values in an HDF5 file."""
    total = 0

    def add(_, item):
        nonlocal total
        total += item.size if isinstance(item, h5py.Dataset) else 0

    file.visititems(add)
    return total


def _reason(error):
    """Returns why Keras does not load a model, on one line.

    Keras prints the whole configuration first, then the reason, then the configuration of one object.
    """
    text = str(error)
    reason = text.rpartition("Exception encountered: ")[2].partition(" Full object")[0]
    short = textwrap.shorten(reason, 300, placeholder=" ...")
    return printable(short, 300) or first_line(error)

"""Reads the arrays of weights files. No code in a file is executed.

The configuration in a `.keras` file is not read. HDF5 with links to other files raises ValueError. Only tensors are
read from the pickle in a `.pth` file (`_pickle_reader.py`). The sizes that a file declares are compared with the model
before its arrays are read.
"""

import math
import pathlib
import zipfile

import h5py
import keras
import numpy as np

from kapps.weights import _pickle_reader
from kapps.weights._assign import largest_size
from kapps.weights.keras_applications import named_arrays

WEIGHTS = "model.weights.h5"
"""Name of the weights in a `.keras` file, which is a zip archive."""
SPARE = 2**25
"""Bytes that a file may hold in addition to the model's values."""
CORRUPT = "is incomplete or corrupt"


def check_complete(path):
    """Checks that a file is complete and its checksums are right, before a model is built.

    Zip archives (`.keras` and current `.pth` files) have a checksum of each part. HDF5 and `.safetensors` declare only
    their length.

    Raises:
        ValueError: with the reason, without the file's name.
    """
    try:
        if path.name.endswith(".h5"):
            h5py.File(path, "r").close()
        elif path.suffix == ".safetensors":
            _safetensors_length(path)
        elif zipfile.is_zipfile(path) or path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                size = sum(part.file_size for part in archive.infolist())
                # An archive that unpacks to far more is not unpacked here; later its size is compared with the model's.
                corrupt = size < 4 * path.stat().st_size + SPARE and archive.testzip()
            if corrupt:
                raise ValueError(f"the checksum of {corrupt} is wrong")
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
    """Returns the first line of an error's message, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_hdf5(model, path):
    """Raises ValueError if HDF5 refers to other files, or declares more values than the model may have."""
    values = 0
    with h5py.File(path, "r") as file:
        groups = [file]
        while groups:
            group = groups.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(
                        f"{model.name}: {path} is not read: {group.name}/{name} is a link to another place"
                    )
                item = group[name]
                if isinstance(item, h5py.Group):
                    groups.append(item)
                    continue
                if item.external or item.is_virtual:
                    raise ValueError(
                        f"{model.name}: {path} is not read: the values of {item.name} are in another file"
                    )
                if item.dtype.kind not in "fiub":
                    raise ValueError(
                        f"{model.name}: {path} is not read: {item.name} does not hold numbers"
                    )
                values += math.prod(item.shape)
    limit = largest_size(model)
    if values > limit + SPARE // 4:
        raise ValueError(
            f"{model.name}: {path} is not read: it declares {values:,} values, and the model has at most {limit:,}"
        )


def read_layers(path):
    """Returns {layer's name: its arrays} of a `.weights.h5` file, or None if the file does not name its layers.

    Older versions of Keras write no names, and layers that contain cells or layers have none for them.
    """
    layers = {}
    with h5py.File(path, "r") as file:
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
            order = sorted(values, key=int)
            layers[str(values.attrs["name"])] = [np.asarray(values[key]) for key in order]
    return layers


def read_keras_applications(path, name):
    """Returns the weights in a file of Keras Applications: {layer's name: its arrays}.

    Keras matches layers by their order, since old files have other names; so the network of Keras Applications loads
    the file.

    Args:
        path: of the file.
        name: of the function in `keras.applications`.
    """
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        classes = _last_dense_width(group)
    options = {"include_top": classes is not None, "classes": classes or 1000, "weights": None}
    network = getattr(keras.applications, name)(**options)
    try:
        network.load_weights(path)
    except (TypeError, AttributeError, IndexError) as error:  # Keras's errors for another HDF5 file
        raise ValueError(f"Keras cannot read it: {first_line(error)}") from error
    return named_arrays(network)


def _last_dense_width(group):
    """Returns the width of the last dense layer in a file, or None if it has none."""
    width = None
    for name in group.attrs.get("layer_names", ()):
        layer = group[name]
        for weight in layer.attrs.get("weight_names", ()):
            if layer[weight].ndim == 2:
                width = layer[weight].shape[-1]
    return width


def extract_weights(model, path, folder):
    """Extracts the weights of a `.keras` file into a folder, and returns their path."""
    limit = 8 * largest_size(model) + SPARE
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(WEIGHTS).file_size
        if size > limit:
            raise ValueError(
                f"{model.name}: {path} is not read: its weights have {size:,} bytes, "
                f"and the model's have at most {limit:,}"
            )
        return pathlib.Path(archive.extract(WEIGHTS, folder))


def read_state_dict(model, path):
    """Returns the state dict of a `.safetensors` or PyTorch file: {name: array}."""
    limit = 8 * largest_size(model) + SPARE
    if path.stat().st_size > limit:
        raise ValueError(
            f"{model.name}: {path} is not read: it has {path.stat().st_size:,} bytes, "
            f"and the model's weights have at most {limit:,}"
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(model, path)
    return _read_pickle(model, path, limit)


def _read_safetensors(model, path):
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{model.name}: {path} {CORRUPT} ({first_line(error)})") from error


def _read_pickle(model, path, limit):
    try:
        state = _pickle_reader.load(path, limit)
    except _pickle_reader.UnsafePickleError as error:
        raise ValueError(
            f"{model.name}: {path} is not read: its pickle names {error}, which is not a tensor and could run any code"
        ) from error
    except ValueError as error:
        raise ValueError(f"{model.name}: {path} {CORRUPT} ({error})") from error
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(x, np.ndarray) for x in state.values()):
        raise ValueError(f"{model.name}: {path} does not hold a state dict")
    return {key.removeprefix("module."): array for key, array in state.items()}

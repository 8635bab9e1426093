"""Weights by name or from a file into a network that our code built."""

import importlib
import os
import pathlib
import re
import tempfile
import warnings
import zipfile

from kapps import cards
from kapps.weights import fetching, reading
from kapps.weights.applications import from_keras
from kapps.weights.fitting import assign, beyond
from kapps.weights.interchange import from_torch, keys

SUFFIXES = (".weights.h5", ".h5", ".keras", ".safetensors", ".pth", ".pt", ".th")
LIBRARIES = ("torchvision", "timm", "pytorchcv", "akamaster")
"""Those whose names a state dict may have, a function of that name in the modules of `kapps.weights.names`."""


def located(weights, name, model):
    """Returns the path of a builder's weights, looked at before anything is built.

    Args:
        weights: "imagenet", or the path of a file.
        name: of the builder in the table, by which weights are published; of the family where there is none.
        model: what the user calls the model.

    Raises:
        ValueError: in one line, for what is no such name or file, for a published one that is not the publisher's,
            and for a file that is visibly damaged.
    """
    if weights == "imagenet":
        return fetching.fetched(cards.published(name))
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
            raise ValueError(f"{model}: {path} is {row.name}'s by its name")
        fetching.check(path, row, f"{path}")
    try:
        reading.whole(path)
    except ValueError as error:
        raise ValueError(f"{model}: {path} does not hold this model's weights ({error})") from error
    return path


def load(model, path, name, family, classes=1000):
    """Loads a file of weights into a model, or leaves the model as it is.

    Args:
        model: a `keras.Model` that a kapps builder made.
        path: of a `.weights.h5` or `.keras` file of this network, of Keras Applications' `.h5` file of the same
            network, or of a `.safetensors`, `.pth`, `.pt` or `.th` file of it in another library, by the names in
            `kapps.weights.names`.
        name: of the builder in the table, or of the family.
        family: the name of the model's family.
        classes: of the published weights; a model with others keeps its classifier.

    Raises:
        ValueError: in one line, for a file that does not hold this model's weights.
    """
    try:
        if path.name.endswith(".weights.h5"):
            _hdf5(model, path, classes)
        elif path.suffix == ".keras":
            _keras(model, path, classes)
        elif path.suffix == ".h5":
            _applications(model, path, name, family, classes)
        else:
            _torch(model, path, family, classes)
    except (OSError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise _unfit(model, path, error) from error


def _unfit(model, path, error):
    reason = reading.first_line(error).removeprefix(f"{model.name}: ")
    return ValueError(f"{model.name}: {path} does not hold this model's weights ({reason})")


def _hdf5(model, path, classes):
    reading.refuse(model, path)
    layers = reading.layers(path)
    if layers is None:
        _by_keras(model, path)
        return
    values = []
    for layer in model.layers:
        arrays = layers.pop(layer.name, [])
        if len(arrays) != len(layer.weights):
            raise _unfit(
                model,
                path,
                f"it has {len(arrays)} arrays for the {len(layer.weights)} of {layer.name}",
            )
        values += [
            (layer, variable, array, f"{variable.path} is {array.shape}")
            for variable, array in zip(layer.weights, arrays, strict=True)
        ]
    spare = tuple(each.rpartition("_")[0] for each in beyond(model, _ours))
    left = [each for each in layers if not each.startswith(spare)]
    if left:
        raise _unfit(model, path, f"it holds {len(left)} layers more, such as {min(left)}")
    try:
        assign(model, values, classes)
    except ValueError as error:
        raise _unfit(model, path, error) from error


def _ours(layer):
    return layer


def _by_keras(model, path):
    before = model.get_weights()
    try:
        with warnings.catch_warnings():
            # Where a file holds less than the model, Keras warns of each part.
            warnings.filterwarnings("error", "Skipping nested container")
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        model.set_weights(before)
        raise _unfit(model, path, error) from error


def _keras(model, path, classes):
    with tempfile.TemporaryDirectory() as folder:
        inside = reading.unpacked(model, path, folder)
        try:
            _hdf5(model, inside, classes)
        except ValueError as error:
            raise ValueError(str(error).replace(str(inside), str(path))) from error


def _applications(model, path, name, family, classes):
    reading.refuse(model, path)
    module = _names(family)
    other = getattr(module, "KERAS", {}).get(name)
    if other is None:
        raise _unfit(model, path, "no network of Keras Applications is known to be the same")
    try:
        state = reading.applications(path, other)
        from_keras(model, state, module.keras, blue_first=module.BLUE_FIRST, classes=classes)
    except ValueError as error:
        raise _unfit(model, path, error) from error


def _torch(model, path, family, classes):
    state = reading.state_dict(model, path)
    module = _names(family)
    for old, new in getattr(module, "OLD", {}).items():
        state = {re.sub(old, new, key): array for key, array in state.items()}
    libraries = {each: vars(module)[each] for each in LIBRARIES if hasattr(module, each)}
    expected = {}
    for library, function in libraries.items():
        try:
            expected[library] = keys(model, function)
        except (KeyError, AttributeError, ValueError):
            continue  # a member of the family that the library has no names for
        if expected[library] <= set(state):
            try:
                from_torch(model, state, function, classes)
            except ValueError as error:
                reason = str(error).removeprefix(f"{model.name}: ")
                raise ValueError(f"{model.name}: {path}: {reason}") from error
            return
    missing = min((sorted(each - set(state)) for each in expected.values()), key=len, default=[])
    raise ValueError(
        f"{model.name}: {path} does not hold this model's weights "
        + (
            f"(it lacks {missing[0]}.{cards.nearest(missing[0], state)} Known are the names of {', '.join(expected)})"
            if missing
            else "(no other library's names are known for it)"
        )
    )


def _names(family):
    """Returns the module of other libraries' names for a family, or None."""
    try:
        return importlib.import_module(f"kapps.weights.names.{family}")
    except ModuleNotFoundError:
        return None

"""Models of `.keras` files."""

import os
import zipfile

import keras

from kapps._checked import check_argument
from kapps._local_paths import local_path
from kapps.weights import saved_models


def load_model(path: str | os.PathLike) -> keras.Model:
    """Returns the model of a `.keras` file, not compiled. Keras's safe mode is on: no code of the file is run.

    Args:
        path: path of the file.

    Raises:
        ValueError: one line, for a file that is not a `.keras` file, that declares a larger model than it holds or has
            weights that are not finite, and for a model that Keras cannot load.
    """
    check_argument("load_model", "path", path, str | os.PathLike)
    path = os.fspath(local_path(path))
    if not os.path.exists(path):
        raise ValueError(
            f"{path!r} does not exist: give a .keras file, such as a run's model.keras"
        )
    if not (path.endswith(".keras") and zipfile.is_zipfile(path)):
        raise ValueError(
            f"{path} is not a complete .keras file: give a file of `model.save('model.keras')`"
        )
    return saved_models.load_model(path)

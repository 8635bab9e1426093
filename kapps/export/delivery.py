"""What a recipe ends with: both kinds of file, each compared with the model."""

import os

import keras
import numpy as np

from kapps.cards import Preprocessing
from kapps.export.lite import litert
from kapps.export.serving import saved_model
from kapps.export.verification import Report, verify


def both(
    model: keras.Model,
    directory: str | os.PathLike,
    images: np.ndarray,
    *,
    preprocessing: Preprocessing,
) -> list[Report]:
    """Exports a SavedModel and beside it a .tflite file of the same version, and verifies each.

    Args:
        model: what `saved_model` and `litert` take.
        directory: that both go into, as `<name>/<version>` and `<name>/<version>.tflite`.
        images: what the model takes, float32 [n, h, w, c], as the evaluation pipeline gives it.
        preprocessing: what those went through, and what the files do themselves.

    Returns:
        The reports of the two.
    """
    mean, std = (np.float32(values) for values in preprocessing.channels(images.shape[-1]))
    pixels = (images * std + mean) / np.float32(preprocessing.scale)
    first = saved_model(model, directory, preprocessing=preprocessing)
    files = [first, litert(model, f"{first}.tflite", preprocessing=preprocessing)]
    return [verify(file, model, pixels, preprocessing=preprocessing) for file in files]

"""What a recipe ends with: a SavedModel and .tflite files, each compared with the model in its own runtime."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from kapps.cards import Preprocessing
from kapps.export.saved_model import saved_model
from kapps.export.tflite import CALIBRATED, losses, tflite
from kapps.export.verify import Report, verify

WORST = 3
"""Layers that are named where a file's precision costs too much."""


def export_and_verify(
    model: keras.Model,
    directory: str | os.PathLike,
    images: np.ndarray,
    *,
    preprocessing: Preprocessing,
    class_names: Sequence[str] | None = None,
    precisions: Sequence[str] = ("float32",),
    calibration: np.ndarray | None = None,
) -> tuple[list[Report], list[str]]:
    """Exports a SavedModel, and beside it .tflite files of the same version, and verifies each.

    Args:
        model: what `saved_model` and `tflite` take.
        directory: that all go into: `<name>/<version>`, `<name>/<version>.tflite`, and with the
            precision in the name, `<name>/<version>.int8.tflite`, where it is not float32.
        images: what the model takes, float32 [n, h, w, c], as the evaluation pipeline gives it.
        preprocessing: what those went through, and what the files do themselves.
        class_names: a name for each class.
        precisions: of the .tflite files.
        calibration: as `images`, others of them; needed for int8 and int16.

    Returns:
        The reports, and a line for each file that falls short (`Report.fault`): for a quantised one
        with the layers that lose most.
    """
    images = pixels(images, preprocessing)
    ranges = None if calibration is None else pixels(calibration, preprocessing)
    common = {"preprocessing": preprocessing, "class_names": class_names}
    first = saved_model(model, directory, **common)
    files = [first]
    for precision in precisions:
        suffix = "" if precision == "float32" else f".{precision}"
        calibrated = {"calibration": ranges} if precision in CALIBRATED else {}
        path = f"{first}{suffix}.tflite"
        files.append(tflite(model, path, precision=precision, **calibrated, **common))
    reports, faults = [], []
    for file in files:
        report = verify(model, file, images, preprocessing=preprocessing, timed=True)
        reports.append(report)
        fault = report.fault()
        if fault and report.precision in CALIBRATED:
            lost = losses(model, ranges, preprocessing=preprocessing, precision=report.precision)
            named = (f"{name} ({loss:.2f} steps)" for name, loss in lost[:WORST])
            fault += f"; most is lost in {', '.join(named)}"
        faults += [fault] if fault else []
    return reports, faults


def pixels(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Returns images as they were before their normalisation, in [0, 255]."""
    mean, std = (np.float32(values) for values in preprocessing.channels(images.shape[-1]))
    return (images * std + mean) / np.float32(preprocessing.scale)

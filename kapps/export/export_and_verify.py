"""Exports a SavedModel and .tflite files of one version, and verifies each: the last step of a recipe."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from kapps.export.saved_model import saved_model
from kapps.export.tflite import CALIBRATED, quantization_errors, tflite
from kapps.export.tflite._server_file import FILE
from kapps.export.verify import Report, verify
from kapps.model_preprocessing import find_preprocessing
from kapps.preprocessing import Preprocessing

WORST = 3
"""The number of layers that a failure of a quantised file names."""


def export_and_verify(
    model: keras.Model,
    directory: str | os.PathLike,
    images: np.ndarray,
    *,
    preprocessing: Preprocessing | str | None = None,
    class_names: Sequence[str] | None = None,
    precisions: Sequence[str] = ("float32",),
    calibration: np.ndarray | None = None,
    tflite_in_saved_model: bool = False,
    verbose: int = 1,
) -> tuple[list[Report], list[str]]:
    """Exports an image model as a SavedModel and as .tflite files of the same version, and verifies each.

    Args:
        model: as for `saved_model` and `tflite`.
        directory: the files are `<name>/<version>`, `<name>/<version>.tflite`, and in other precisions than float32
            for example `<name>/<version>.int8.tflite`.
        images: to verify with, float32 [n, height, width, channels], as the evaluation pipeline returns them.
        preprocessing: that the pipeline applied. The exported files hold it. None for what the model records.
        class_names: one name for each class.
        precisions: of the .tflite files.
        calibration: for int8 and int16, other images like `images`.
        tflite_in_saved_model: whether the SavedModel's directory also holds `model.tflite`, for TensorFlow Serving's
            --prefer_tflite_model.
        verbose: 0 for no output; 1 for one line of progress for each export and verification, on standard error.

    Returns:
        The reports, and a line for each file that fails verification (`Report.failure`). For a quantised file the line
        names the layers with the largest quantisation errors.
    """
    preprocessing, _ = find_preprocessing(model, preprocessing)
    pixels = to_pixels(images, preprocessing)
    calibration = None if calibration is None else to_pixels(calibration, preprocessing)
    options = {"preprocessing": preprocessing, "class_names": class_names, "verbose": verbose}
    version = saved_model(model, directory, tflite=tflite_in_saved_model, **options)
    files = [version, version / FILE] if tflite_in_saved_model else [version]
    for precision in precisions:
        suffix = "" if precision == "float32" else f".{precision}"
        file = tflite(
            model, f"{version}{suffix}.tflite", precision=precision,
            calibration=calibration if precision in CALIBRATED else None, **options,
        )  # fmt: skip
        files.append(file)
    reports = [
        # The files are the model's own: it may have any operation.
        verify(
            model,
            file,
            pixels,
            preprocessing=preprocessing,
            timed=True,
            trust=True,
            verbose=verbose,
        )
        for file in files
    ]
    failures = [_describe_failure(model, report, calibration, preprocessing) for report in reports]
    return reports, [failure for failure in failures if failure]


def to_pixels(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Returns normalised images as pixels in [0, 255]."""
    mean, std = (np.float32(values) for values in preprocessing.channels(images.shape[-1]))
    return (preprocessing.ordered(images) * std + mean) / np.float32(preprocessing.scale)


def _describe_failure(model, report, calibration, preprocessing):
    failure = report.failure()
    if failure is None or report.precision not in CALIBRATED:
        return failure
    errors = quantization_errors(
        model, calibration, preprocessing=preprocessing, precision=report.precision
    )
    layers = ", ".join(f"{name} ({error:.2f} steps)" for name, error in errors[:WORST])
    return f"{failure}; the largest quantisation errors are those of {layers}"

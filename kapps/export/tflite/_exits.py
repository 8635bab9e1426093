"""Exports a network with several exits as one .tflite file for each exit, to run one after the other."""

import os
import pathlib

import keras
import numpy as np

from kapps._local_paths import local_path
from kapps.export._preprocessing import export_preprocessing
from kapps.export._progress import phase
from kapps.export.exit_stages import exit_stages
from kapps.export.inference_model import inference_model
from kapps.export.tflite import CALIBRATED, tflite
from kapps.preprocessing import Preprocessing


def tflite_exits(
    model: keras.Model,
    directory: str | os.PathLike,
    *,
    preprocessing: Preprocessing | str | bool | None = None,
    precision: str = "float32",
    calibration: np.ndarray | None = None,
    verbose: int = 1,
) -> pathlib.Path:
    """Exports a network with several exits as `exit1.tflite`, `exit2.tflite`, ..., one file for each exit.

    A program runs `exit1.tflite` on an image. It returns "predictions", and the features "state1", "state2", ... that
    `exit2.tflite` takes. The program stops after any file. No layer is in two files, so all files together compute what
    the network computes. `kapps.export.load_tflite_exits(directory)` runs them in Python.

    Args:
        model: network on images with outputs "exit1_predictions", ..., "predictions".
        directory: a local directory. Files of these names in it are replaced; files of further exits raise ValueError.
        preprocessing, precision: as for `kapps.export.tflite`.
        calibration: for int8 and int16, 100 or more images in the format of the first file.
        verbose: 0 for no output; 1 for one line of progress on standard error.

    Returns:
        `directory`.

    Raises:
        ValueError: for a model with one exit, and as for `kapps.export.tflite`.
    """
    stages = exit_stages(model)
    directory = local_path(directory)
    other = directory / f"exit{len(stages) + 1}.tflite"
    if other.exists():
        raise ValueError(f"{directory} has files of more than {len(stages)} exits: delete {other}")
    preprocessing = export_preprocessing(model, preprocessing, verbose)
    with phase(f"Exporting {model.name} as {len(stages)} TFLite files in {precision}", verbose):
        for number, stage in enumerate(stages, start=1):
            normalisation = preprocessing if number == 1 and preprocessing is not None else False
            tflite(
                stage, directory / f"exit{number}.tflite", preprocessing=normalisation, precision=precision,
                calibration=calibration, verbose=0,
            )  # fmt: skip
            if precision in CALIBRATED and number < len(stages):
                outputs = inference_model(stage, normalisation).predict(calibration, verbose=0)
                calibration = {key: x for key, x in outputs.items() if key != "predictions"}
    return directory

"""Quantisation: calibration examples, and what quantisation costs each layer."""

import csv
import math
import pathlib
import re
import tempfile

import keras
import numpy as np

from kapps.export._float32 import named_layers
from kapps.export._inputs import ModelInput, ModelInputs, model_input
from kapps.export._preprocessing import export_preprocessing
from kapps.export.inference_model import inference_model
from kapps.export.tflite._converter import convert
from kapps.preprocessing import Preprocessing

CALIBRATED = ("int8", "int16")
"""The precisions that need calibration examples, which fix the ranges of all activations."""


def check_calibration(
    network: keras.Model,
    inputs: ModelInput | ModelInputs,
    precision: str,
    calibration: np.ndarray | dict[str, np.ndarray] | None,
    batch_size: int,
    preprocessing: Preprocessing | None = None,
) -> np.ndarray | dict[str, np.ndarray] | None:
    """Returns the calibration examples in the dtypes of the inputs, or None for other precisions.

    Raises:
        ValueError: if the precision needs calibration and has none, or the reverse; for a batch size above 1; for a
            network with recurrent loops; for examples of other shapes; for images that are normalised already, if
            the network has the preprocessing.
    """
    if precision not in CALIBRATED:
        if calibration is not None:
            raise ValueError(
                f"precision={precision!r} takes no calibration; {' and '.join(CALIBRATED)} do"
            )
        return None
    if calibration is None:
        raise ValueError(
            f"precision={precision!r} needs calibration: 100 or more images in the file's input format"
        )
    if batch_size != 1:
        raise ValueError(f"precision={precision!r} is for batch_size=1, not {batch_size}")
    loops = [name for name, layer in named_layers(network).items() if is_loop(layer)]
    if loops:
        raise ValueError(
            f"precision={precision!r}: the converter does not measure ranges inside the loop of a recurrent layer "
            f"({loops[0]}); use float32, float16 or dynamic, or build the layer with unroll=True"
        )
    calibration = keras.tree.map_structure(np.asarray, calibration)
    if not inputs.accepts(calibration):
        shapes = keras.tree.map_structure(lambda array: list(array.shape), calibration)
        raise ValueError(f"calibration is {shapes}, and {network.name} takes {inputs}")
    if preprocessing is not None and preprocessing.scale < 1:
        least, largest = float(np.min(calibration)), float(np.max(calibration))
        if (
            largest < 4
        ):  # normalised values are below 3, and a set of raw images has brighter pixels
            raise ValueError(
                f"calibration has values from {least:.3g} to {largest:.3g}, and the file takes raw pixels in "
                "[0, 255]: pass such images, or preprocessing=False for a file that takes the model's own input"
            )
    return inputs.cast(calibration)


def is_loop(layer: keras.Layer) -> bool:
    """Whether a layer is converted to a loop: a recurrent layer that is not unrolled."""
    if isinstance(layer, keras.layers.Bidirectional):
        layer = layer.forward_layer
    return isinstance(layer, keras.layers.RNN) and not layer.unroll


def quantization_errors(
    model: keras.Model,
    calibration: np.ndarray,
    *,
    preprocessing: Preprocessing | str | bool | None = None,
    precision: str = "int8",
) -> list[tuple[str, float]]:
    """Returns the quantisation error of each layer, the largest first.

    Args:
        model: an image model, as for `kapps.export.tflite`.
        calibration: images, as for `kapps.export.tflite`. The errors are measured on the same images.
        preprocessing: as for `kapps.export.tflite`.
        precision: "int8" or "int16".

    Returns:
        [(layer name, error)]. The error is the root mean square error of the layer's outputs for exact inputs, in
        quantisation steps; rounding has an error of 0.29.

    Raises:
        ValueError: for another precision, and as for `kapps.export.tflite`.
    """
    if precision not in CALIBRATED:
        raise ValueError(
            f"precision={precision!r}: only {' and '.join(CALIBRATED)} have these errors"
        )
    preprocessing = export_preprocessing(model, preprocessing)
    network = inference_model(
        model, False if preprocessing is None else preprocessing, separate_ranges=True, pack_binary=False
    )  # fmt: skip
    inputs = model_input(network)
    calibration = check_calibration(network, inputs, precision, calibration, 1, preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "errors.csv")
        convert(network, path, inputs, precision=precision, calibration=calibration, debug=True)
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    layers, errors = named_layers(network), {}
    for row in rows:
        name, scale = row["tensor_name"], float(row["scale"])
        parts = (re.sub(r"_\d+$", "", part) for part in reversed(name.split(";")[0].split("/")))
        layer = next((part for part in parts if part in layers), name)
        if scale > 0:
            error = math.sqrt(float(row["mean_squared_error"])) / scale
            errors[layer] = max(errors.get(layer, 0.0), error)
    return sorted(errors.items(), key=lambda pair: -pair[1])

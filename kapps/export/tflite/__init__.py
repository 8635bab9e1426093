"""Exports models as .tflite files for LiteRT on phones and in browsers: static shapes, builtin operations only."""

import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from kapps._files import flush, sync
from kapps._local_paths import local_path
from kapps._names import nearest
from kapps._values import is_integer
from kapps.export._float32 import check_exportable
from kapps.export._inputs import IMAGE, TOKENS, ModelInput, ModelInputs, model_input
from kapps.export._paths import temporary_directory_in
from kapps.export._preprocessing import export_preprocessing
from kapps.export._progress import phase
from kapps.export.inference_model import check_class_names, inference_model
from kapps.export.tflite._converter import convert
from kapps.export.tflite._file_contents import check_operations, file_operations, file_precision
from kapps.export.tflite._metadata import add_metadata
from kapps.export.tflite._quantization import CALIBRATED, check_calibration, quantization_errors
from kapps.preprocessing import Preprocessing

__all__ = [
    "CALIBRATED",
    "PRECISIONS",
    "file_operations",
    "file_precision",
    "quantization_errors",
    "tflite",
]

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16")


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: Preprocessing | str | bool | None = None,
    precision: str = "float32",
    calibration: np.ndarray | dict[str, np.ndarray] | None = None,
    class_names: Sequence[str] | None = None,
    batch_size: int = 1,
    length: int | None = None,
    vocabulary: Sequence[str] | None = None,
    float_operations: Sequence[str] = (),
    verbose: int = 1,
) -> pathlib.Path:
    """Exports `model` as a TFLite file with static shapes and builtin operations only.

    The model is rebuilt in float32 and traced with `training=False`, and its batch norms are folded. Inputs and outputs
    have the names of `kapps.export.saved_model`. They are float32 in every precision, except tokens, which are int32.

    Args:
        model: a functional or sequential model of such inputs as `saved_model` takes, under any dtype policy. Images
            need a static size.
        path: a local path that ends in ".tflite". An existing file is replaced atomically.
        preprocessing: for image models, as for `kapps.export.saved_model`; `image` is then raw pixels in [0, 255] at
            the model's size.
        precision: "float32"; "float16", weights in float16, half the size; "dynamic", weights in int8 and activations
            in float32, a quarter of the size; "int8", weights and activations in int8, a quarter of the size and the
            lowest latency; "int16", weights in int8 and activations in int16, more accurate than int8 but slow on most
            CPUs.
        calibration: for int8 and int16, 100 or more images of all classes from the evaluation pipeline, [n, height,
            width, channels], in the file's input format. For a model of several inputs, a dictionary of such arrays.
        class_names: one name for each class, without line ends. The file's metadata holds them, the input's range and
            its colour space, for MediaPipe and Android's tools.
        batch_size: images or sequences in one call, a positive integer. Use 1 on phones.
        length: time steps, for a model whose number of time steps is variable. Pad shorter sequences on the right.
        vocabulary: for a model of tokens, the token of each number; stored in the file's metadata.
        float_operations: for int8, the operations that stay in float32, by LiteRT's names: "BATCH_MATMUL", "SOFTMAX".
        verbose: 0 for no output; 1 for one line of progress on standard error.

    Returns:
        `path`.

    Raises:
        ValueError: for a model that cannot be exported or needs operations that TFLite lacks, a path that cannot be
            written, options that contradict each other, and if the converter crashes.
    """
    check_exportable(model)
    path = _check_path(path)
    _check_options(precision, batch_size, length, float_operations)
    preprocessing = export_preprocessing(model, preprocessing, verbose)
    with phase(f"Exporting {model.name} as a TFLite file in {precision}", verbose):
        network = inference_model(
            model, False if preprocessing is None else preprocessing,
            separate_ranges=precision in CALIBRATED, pack_binary=False,
        )  # fmt: skip
        inputs = _static_inputs(network, length)
        if vocabulary is not None and inputs.name != TOKENS:
            raise ValueError(f"{model.name} takes {inputs.name}, and a vocabulary is for tokens")
        class_names = check_class_names(network, class_names)
        calibration = check_calibration(
            network, inputs, precision, calibration, batch_size, preprocessing
        )
        with temporary_directory_in(path.parent) as temporary:
            file = temporary / path.name
            convert(
                network, file, inputs, precision=precision, calibration=calibration,
                batch_size=batch_size, float_operations=float_operations,
            )  # fmt: skip
            check_operations(model.name, file)
            file.write_bytes(
                add_metadata(file.read_bytes(), model.name, preprocessing, class_names, vocabulary)
            )
            flush(file)
            os.replace(file, path)
            sync(path.parent)
    return path


def _check_path(path) -> pathlib.Path:
    path = local_path(path)
    if path.suffix != ".tflite" or path.is_dir():
        raise ValueError(f"{path} is not a path of a .tflite file")
    return path


def _check_options(precision, batch_size, length, float_operations):
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}.{nearest(str(precision), PRECISIONS)}"
        )
    if not is_integer(batch_size, 1, 2**16):
        raise ValueError(f"batch_size is a positive integer, not {batch_size!r}")
    if length is not None and not is_integer(length, 1, 2**24):
        raise ValueError(f"length is a positive integer, not {length!r}")
    if float_operations and precision != "int8":
        raise ValueError(f"precision={precision!r} takes no float_operations; int8 does")


def _static_inputs(network, length) -> ModelInput | ModelInputs:
    """Returns the network's inputs with `length` for every variable size."""
    inputs = model_input(network)
    if inputs.name == IMAGE and length is not None:
        raise ValueError(f"{network.name} takes images, which have no length")
    if inputs.name == IMAGE and None in inputs.shape:
        raise ValueError(
            f"{network.name} takes {inputs.shape}; a TFLite file needs a fixed size, "
            "so build the model with input_shape=(height, width, channels)"
        )
    if None in inputs.shape and length is None:
        raise ValueError(
            f"{network.name} takes {inputs.shape}; a TFLite file needs a fixed length, so give length="
        )
    if None not in inputs.shape and length is not None:
        raise ValueError(
            f"{network.name} takes {inputs.shape}, which is already fixed, so give no length={length}"
        )
    return inputs.with_size(length)

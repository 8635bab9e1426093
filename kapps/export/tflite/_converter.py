"""Runs TensorFlow's converter from SavedModels to .tflite files in a child process."""

import functools
import pathlib
import re
from collections.abc import Callable, Sequence

import keras
import numpy as np

from kapps.export._determinism import check_deterministic
from kapps.export._inputs import ModelInput, ModelInputs
from kapps.export._saved_model_writer import Signature, write_saved_model
from kapps.export._worker import CrashError, Worker

WORKER = Worker(pathlib.Path(__file__).with_name("_convert_child.py"))


def convert(
    network: keras.Model,
    path: pathlib.Path,
    inputs: ModelInput | ModelInputs,
    *,
    precision: str = "float32",
    calibration: np.ndarray | dict[str, np.ndarray] | None = None,
    batch_size: int | None = 1,
    float_operations: Sequence[str] = (),
    debug: bool = False,
    function: Callable | None = None,
) -> None:
    """Converts a network, through a SavedModel in the directory of `path`.

    Args:
        network: from `inference_model`.
        path: of the .tflite file to write, in a temporary directory; with `debug`, of a CSV file.
        inputs: the network's inputs with static sizes.
        precision, calibration, float_operations: as for `kapps.export.tflite`.
        batch_size: as for `kapps.export.tflite`; None for a file whose batch size the caller can change.
        debug: whether to write the quantisation error of each operation in place of the .tflite file.
        function: from the network's inputs to a dictionary of outputs; None for the network itself.

    Raises:
        ValueError: if the converter does not support the network, or crashes.
    """
    check_deterministic(network, batch_size)
    folder = path.parent
    function = function or functools.partial(network, training=False)
    signature = Signature(function, inputs.spec(batch_size))
    write_saved_model(folder / "static", {"serving_default": signature})
    if calibration is not None:
        arrays = calibration if isinstance(calibration, dict) else {inputs.name: calibration}
        np.savez(folder / "calibration.npz", **arrays)
    job = {
        "saved_model": str(folder / "static"),
        "path": str(path),
        "precision": precision,
        "calibration": str(folder / "calibration.npz"),
        "debug": debug,
        "float_operations": list(float_operations),
    }
    try:
        error = WORKER.run(job).get("error")
    except CrashError as crash:
        raise ValueError(
            f"{network.name} does not convert to TFLite: TensorFlow's converter crashed ({crash})"
        ) from crash
    if error:
        raise ValueError(f"{network.name} does not convert to TFLite: {_summarize(error)}")


def _summarize(message: str) -> str:
    """Returns the unsupported operations that the converter's message names, else its first line."""
    matches = re.findall(r"TF (?:Select|Custom) ops: (.*)", message)
    matches += re.findall(r"'tf\.(\w+)' op", message)
    names = sorted({name.strip() for match in matches for name in match.split(",")})
    return f"no builtin operation for {', '.join(names)}" if names else message.splitlines()[0]

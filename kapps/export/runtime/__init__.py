"""Runs exported files in their own runtimes, on the CPU: a SavedModel in TensorFlow, a .tflite file in LiteRT."""

import pathlib

import numpy as np

from kapps._names import attribute_finder
from kapps.export.runtime._litert import run_tflite, time_tflite, undelegated_operations
from kapps.export.runtime._tensorflow import run_saved_model, time_saved_model

__all__ = ["file_format", "measure_latency", "run", "undelegated_operations"]


def file_format(path: pathlib.Path) -> str:
    """Returns "saved_model" or "tflite"; raises ValueError for another path."""
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    if path.suffix == ".tflite" and path.is_file():
        return "tflite"
    reason = "is neither a SavedModel nor a .tflite file" if path.exists() else "does not exist"
    raise ValueError(f"{path} {reason}")


def run(path: pathlib.Path, inputs: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs an exported file and returns its outputs by name.

    Args:
        path: of the exported file.
        inputs: an array [n, ...] in the dtype that the file takes; for several inputs, a dictionary of arrays.

    Raises:
        ValueError: if the file does not run, or takes inputs of other names or shapes.
    """
    if file_format(path) == "saved_model":
        return run_saved_model(path, inputs)
    return run_tflite(path, inputs)


def measure_latency(
    path: pathlib.Path, inputs: np.ndarray | dict[str, np.ndarray], threads: int
) -> float:
    """Returns the latency of one example in milliseconds, the median of several calls after a warm-up.

    Args:
        path: of the exported file.
        inputs: one example, [1, ...], in the dtype that the file takes.
        threads: the number of threads that the runtime may use.
    """
    if file_format(path) == "saved_model":
        return time_saved_model(path, inputs, threads)
    return time_tflite(path, inputs, threads)


__getattr__ = attribute_finder(__name__)

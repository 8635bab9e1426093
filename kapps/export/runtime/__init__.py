"""Runs exported files in their own runtimes, on the CPU: a SavedModel in TensorFlow, a .tflite file in LiteRT."""

import pathlib

import numpy as np

from kapps._names import attribute_finder
from kapps.export.runtime._jobs import UNLIMITED, Limits, default_limits
from kapps.export.runtime._litert import (
    check_tflite,
    run_tflite,
    time_tflite,
    undelegated_operations,
)
from kapps.export.runtime._tensorflow import load_saved_model, run_saved_model, time_saved_model

__all__ = [
    "UNLIMITED",
    "Limits",
    "check_tflite",
    "default_limits",
    "file_format",
    "load_saved_model",
    "measure_latency",
    "run",
    "run_tflite",
    "undelegated_operations",
]


def file_format(path: pathlib.Path) -> str:
    """Returns "saved_model" or "tflite"; raises ValueError for another path."""
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    if path.suffix == ".tflite" and path.is_file():
        return "tflite"
    reason = "is neither a SavedModel nor a .tflite file" if path.exists() else "does not exist"
    raise ValueError(f"{path} {reason}")


def run(
    path: pathlib.Path,
    inputs: np.ndarray | dict[str, np.ndarray],
    *,
    trust: bool = False,
    limits: Limits = UNLIMITED,
) -> dict[str, np.ndarray]:
    """Runs an exported file and returns its outputs by name.

    Args:
        path: of the exported file.
        inputs: an array [n, ...] in the dtype that the file takes; for several inputs, a dictionary of arrays.
        trust: whether a SavedModel runs without a check of its operations.
        limits: of time and memory.

    Raises:
        ValueError: if the file does not run, takes inputs of other names or shapes, or has other operations than
            computations.
    """
    if file_format(path) == "saved_model":
        return run_saved_model(path, inputs, trust=trust, limits=limits)
    return run_tflite(path, inputs, limits)[0]


def measure_latency(
    path: pathlib.Path,
    inputs: np.ndarray | dict[str, np.ndarray],
    threads: int,
    *,
    trust: bool = False,
    limits: Limits = UNLIMITED,
) -> float:
    """Returns the latency of one example in milliseconds, the median of several calls after a warm-up.

    Args:
        path: of the exported file.
        inputs: one example, [1, ...], in the dtype that the file takes.
        threads: the number of threads that the runtime may use.
        trust: whether a SavedModel runs without a check of its operations.
        limits: of time and memory.
    """
    if file_format(path) == "saved_model":
        return time_saved_model(path, inputs, threads, trust=trust, limits=limits)
    return time_tflite(path, inputs, threads, limits)


__getattr__ = attribute_finder(__name__)

"""Runs .tflite files in LiteRT, on the CPU, in a child process: LiteRT aborts on some corrupt files."""

import os
import pathlib

import numpy as np

from kapps._errors import main_sentence
from kapps.export._quiet import quiet
from kapps.export._worker import Worker
from kapps.export.runtime._jobs import UNLIMITED, Limits, default_limits, run_job

ROUNDS = 30
PROGRAM = pathlib.Path(__file__).with_name("_run_tflite.py")
WORKER = Worker(PROGRAM)


def run_tflite(
    path: pathlib.Path, inputs, limits: Limits = UNLIMITED
) -> tuple[dict[str, np.ndarray], str]:
    """Returns the outputs of a .tflite file by name, and its precision."""
    job = {"task": "run", "threads": os.cpu_count()}
    result, outputs = run_job(WORKER, path, job, inputs, limits)
    return outputs, result["precision"]


def time_tflite(path: pathlib.Path, inputs, threads: int, limits: Limits = UNLIMITED) -> float:
    """Returns the latency of a .tflite file in milliseconds for one row, the median of `ROUNDS` calls."""
    job = {"task": "time", "threads": threads, "rounds": ROUNDS}
    return run_job(WORKER, path, job, inputs, limits)[0]["milliseconds"]


def check_tflite(path: str | os.PathLike) -> dict[str, list[int]]:
    """Runs a .tflite file once on zeros and returns the shapes of its inputs by name.

    Raises:
        ValueError: for a file that LiteRT cannot run.
    """
    path = pathlib.Path(path)
    job = {"task": "check", "threads": 1}
    return run_job(WORKER, path, job, limits=default_limits(path))[0]["inputs"]


def undelegated_operations(path: pathlib.Path) -> dict[str, int]:
    """Returns the operations of a .tflite file that run outside XNNPACK, LiteRT's CPU delegate.

    Each group of such operations costs a transition between LiteRT and the delegate.

    Args:
        path: of the file.

    Returns:
        {operation: count}; empty if the delegate runs the complete file.
    """
    path = pathlib.Path(path)
    job = {"task": "operations"}
    return run_job(WORKER, path, job, limits=default_limits(path))[0]["operations"]


def signature_runner(path: str | os.PathLike, threads: int):
    """Returns the callable of a .tflite file's signature, in this process.

    A child process runs the file once before, because a corrupt file can end the process.

    Raises:
        ValueError: for a file that LiteRT cannot run.
    """
    from ai_edge_litert.interpreter import Interpreter

    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}")
    check_tflite(path)
    try:
        with quiet():
            interpreter = Interpreter(str(path), num_threads=threads)
            signature = next(iter(interpreter.get_signature_list()), None)
            return interpreter.get_signature_runner(signature)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} does not run: {main_sentence(str(error))}") from error

"""Runs SavedModels in child processes that have TensorFlow and no Keras, as a server has."""

import os
import pathlib
import tempfile

import numpy as np

from kapps.export._worker import CrashError, Worker

ROUNDS = 30
PROGRAM = pathlib.Path(__file__).with_name("_run_saved_model.py")
ONLY = "only"
"""The program's name for an input without a name."""
WORKER = Worker(PROGRAM)


def run_saved_model(path: pathlib.Path, inputs) -> dict[str, np.ndarray]:
    """Returns the outputs of a SavedModel by name."""
    arrays = _run_job(WORKER, path, inputs, threads=0)
    return {name.removeprefix("output_"): array for name, array in arrays.items()}


def time_saved_model(path: pathlib.Path, inputs, threads: int) -> float:
    """Returns the latency of a SavedModel in milliseconds, the median of `ROUNDS` calls."""
    worker = Worker(PROGRAM)  # TensorFlow sets its number of threads once a process
    try:
        return float(_run_job(worker, path, inputs, threads)["milliseconds"])
    finally:
        worker.close()


def _run_job(worker, path, inputs, threads):
    with tempfile.TemporaryDirectory() as folder:
        files = {name: os.path.join(folder, f"{name}.npz") for name in ("inputs", "outputs")}
        np.savez(files["inputs"], **(inputs if isinstance(inputs, dict) else {ONLY: inputs}))
        job = {"path": str(path.absolute()), **files, "threads": threads, "rounds": ROUNDS}
        try:
            error = worker.run(job).get("error")
        except CrashError as crash:
            error = str(crash)
        if error:
            raise ValueError(f"{path} does not run: {error.strip().splitlines()[-1]}")
        with np.load(files["outputs"]) as arrays:
            return dict(arrays)

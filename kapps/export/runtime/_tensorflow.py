"""Runs SavedModels in child processes that have TensorFlow and no Keras, as a server has."""

import os
import pathlib

import numpy as np

from kapps.export._worker import Worker
from kapps.export.runtime._allowed_operations import ALLOWED
from kapps.export.runtime._check_saved_model import check_saved_model
from kapps.export.runtime._jobs import UNLIMITED, Limits, run_job

ROUNDS = 30
PROGRAM = pathlib.Path(__file__).with_name("_run_saved_model.py")
WORKER = Worker(PROGRAM)


def load_saved_model(path: str | os.PathLike, *, trust: bool = False):
    """Loads a SavedModel in this process, after a check of its operations.

    Args:
        path: of the directory.
        trust: whether to load it without the check. Loading a SavedModel runs its initialisers, and calling it runs
            everything in its graph, such as reading and writing of files.

    Returns:
        The result of `tf.saved_model.load`.

    Raises:
        ValueError: for a SavedModel that is corrupt, or has other operations than computations.
    """
    import tensorflow as tf

    if not trust:
        check_saved_model(os.fspath(path), ALLOWED)
    return tf.saved_model.load(os.fspath(path))


def run_saved_model(
    path: pathlib.Path, inputs, *, trust: bool = False, limits: Limits = UNLIMITED
) -> dict[str, np.ndarray]:
    """Returns the outputs of a SavedModel by name; with `trust`, its operations are not checked."""
    job = {"threads": 0, "rounds": 0, "allowed": _allowed(trust)}
    return run_job(WORKER, path, job, inputs, limits)[1]


def time_saved_model(
    path: pathlib.Path,
    inputs,
    threads: int,
    *,
    trust: bool = False,
    limits: Limits = UNLIMITED,
) -> float:
    """Returns the latency of a SavedModel in milliseconds, the median of `ROUNDS` calls."""
    worker = Worker(PROGRAM)  # TensorFlow sets its number of threads once a process
    job = {"threads": threads, "rounds": ROUNDS, "allowed": _allowed(trust)}
    try:
        return float(run_job(worker, path, job, inputs, limits)[1]["milliseconds"])
    finally:
        worker.close()


def _allowed(trust):
    return None if trust else sorted(ALLOWED)

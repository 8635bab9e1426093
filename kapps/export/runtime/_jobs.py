"""Jobs of the child processes that run exported files: arrays in files, and limits of time and memory.

The limits end a file that runs without end or that allocates without end.
"""

import dataclasses
import os
import pathlib
import tempfile

import numpy as np

from kapps._errors import main_sentence
from kapps.export._worker import CrashError, Worker

ONLY = "only"
"""The name of an input without a name."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """The time and the memory of a job; None for no limit.

    Args:
        seconds: wall-clock time, without the start of the child process.
        memory: bytes that the job may allocate.
    """

    seconds: float | None = None
    memory: int | None = None


UNLIMITED = Limits()


def default_limits(path: pathlib.Path, seconds: float = 0.0) -> Limits:
    """Returns limits that a file of a model within this process's means does not reach.

    Args:
        path: of the file or directory.
        seconds: that the model itself took for the same inputs.

    Returns:
        One minute and 20 times `seconds`; 2 GiB, 4 times the file's size and twice the peak memory of this process.
    """
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files if file.is_file())
    return Limits(60 + 20 * seconds, 2**31 + 4 * size + 2 * _peak_memory())


def _peak_memory():
    try:
        import resource
    except ImportError:  # Windows, where the limit has no effect
        return 0
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_job(
    worker: Worker, path: pathlib.Path, job: dict, inputs=None, limits: Limits = UNLIMITED
) -> tuple[dict, dict[str, np.ndarray]]:
    """Runs a job of an exported file, and returns its result and the arrays that it wrote.

    Args:
        worker: that runs it.
        path: of the exported file.
        job: what the program takes in addition to "path", "inputs" and "outputs".
        inputs: an array, or a dictionary of arrays.
        limits: of the job.

    Raises:
        ValueError: with one line, if the file does not run, or runs into a limit.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = {name: os.path.join(folder, f"{name}.npz") for name in ("inputs", "outputs")}
        if inputs is not None:
            np.savez(files["inputs"], **(inputs if isinstance(inputs, dict) else {ONLY: inputs}))
        job = {"path": str(path.absolute()), **files, **job}
        try:
            result = worker.run(job, limits.seconds, limits.memory)
        except CrashError as crash:
            result = {"error": str(crash)}
        if result.get("error"):
            raise ValueError(f"{path} does not run: {_reason(result['error'])}")
        if not os.path.exists(files["outputs"]):
            return result, {}
        with np.load(files["outputs"]) as arrays:
            outputs = dict(arrays)
    return result, {name.removeprefix("output_"): array for name, array in outputs.items()}


def _reason(error):
    """Returns the reason of an error, without characters that a terminal interprets: it can name what a file holds."""
    return "".join(x if x.isprintable() else repr(x)[1:-1] for x in main_sentence(error))

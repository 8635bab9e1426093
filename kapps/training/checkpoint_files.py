"""The files of checkpoints: their names and their content, which are defined only here.

The checkpoint of step 500 is `step-0000000500.npz`. Its arrays are `v0`, `v1`, ... (the variables of the model, then
those of the optimizer) and `about` (a JSON object: step, number of variables, identity, notes and logs).
"""

import json
import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from kapps._files import write_atomically


def list_checkpoints(directory: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the checkpoints in a directory, the oldest first; an empty list if it does not exist."""
    return sorted(pathlib.Path(directory).glob("step-*.npz"))


def average_checkpoints(model: keras.Model, paths: Sequence[pathlib.Path]) -> None:
    """Sets the weights of a model to their mean over several checkpoints (Vaswani 2017, arXiv:1706.03762, 6.1).

    Variables of other dtypes than floating point, such as random seeds, get the value of the last checkpoint.

    Args:
        model: the model that the checkpoints belong to.
        paths: checkpoints, the oldest first, such as `Checkpoints.epoch_files()`.

    Raises:
        ValueError: without a checkpoint, and for a checkpoint of another model.
    """
    if not paths:
        raise ValueError("paths is empty: there is no checkpoint to average")
    variables = model.variables
    sums = [0.0] * len(variables)
    for path in paths:
        _, values = read_checkpoint(path, limit=len(variables))  # the optimizer's variables follow
        if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
            raise ValueError(f"{path} does not fit {model.name}")
        for i, value in enumerate(values):
            is_float = value.dtype.kind == "f"
            sums[i] = sums[i] + value.astype("float64") if is_float else value
    for variable, total in zip(variables, sums, strict=True):
        variable.assign(total / len(paths) if total.dtype.kind == "f" else total)


def write_checkpoint(path: pathlib.Path, about: dict, values: Sequence[np.ndarray]) -> None:
    """Writes a checkpoint; an incomplete file never has its name."""
    content = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays = {f"v{i}": value for i, value in enumerate(values)}
    with write_atomically(path) as written:
        np.savez(written, about=content, **arrays)


def read_checkpoint(path: pathlib.Path, limit: int | None = None) -> tuple[dict, list[np.ndarray]]:
    """Returns the description and the values (the first `limit`) of a checkpoint."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        count = about["variables"] if limit is None else min(about["variables"], limit)
        return about, [file[f"v{i}"] for i in range(count)]


def path_of_step(directory: pathlib.Path, step: int) -> pathlib.Path:
    """Returns the path of the checkpoint of a step."""
    return directory / f"step-{step:010d}.npz"


def step_of_path(path: pathlib.Path) -> int:
    """Returns the step of a checkpoint."""
    return int(path.stem.removeprefix("step-"))

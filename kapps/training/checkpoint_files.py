"""The files of checkpoints: their names and their content, which are defined only here.

The checkpoint of step 500 is `step-0000000500.npz`. Its arrays are `v0`, `v1`, ... (the variables of the model, those
of the optimizer and carried states), `m0`, ... (metrics of an interrupted epoch), `c0`, ... (arrays of callbacks) and
`about` (a JSON object: step, numbers of arrays, identity and notes). The file ends with the SHA-256 of all bytes before
it, so that any change of its bytes is noticed.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from kapps._files import write_atomically
from kapps._local_paths import local_path

_DIGEST_BYTES = 64  # hexadecimal digits


class CorruptCheckpointError(ValueError):
    """A checkpoint that cannot be read; the message is one line with the reason."""


@dataclasses.dataclass(frozen=True)
class CheckpointContent:
    """The content of a checkpoint.

    Args:
        about: the JSON object.
        arrays: the arrays by the letter of their names: "v", "m", "c".
    """

    about: dict
    arrays: dict[str, list[np.ndarray]]


def list_checkpoints(directory: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the checkpoints in a directory, the oldest first; an empty list if it does not exist."""
    directory = local_path(directory, "directory")
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    names = sorted(name for name in names if re.fullmatch(r"step-\d{10,}\.npz", name))
    return [pathlib.Path(directory, name) for name in names]


def average_checkpoints(model: keras.Model, paths: Sequence[pathlib.Path]) -> None:
    """Sets the weights of a model to their mean over several checkpoints (Vaswani 2017, arXiv:1706.03762, 6.1).

    A corrupt checkpoint is skipped with one line. Variables of other dtypes than floating point, such as random seeds,
    get the value of the last checkpoint.

    Args:
        model: the model that the checkpoints belong to.
        paths: checkpoints, the oldest first, such as `Checkpoints.epoch_files()`.

    Raises:
        ValueError: without a complete checkpoint, and for a checkpoint of another model.
    """
    variables = model.variables
    sums, count = [0.0] * len(variables), 0
    for path in paths:
        try:
            values = read_checkpoint(path).arrays["v"][: len(variables)]  # the optimizer's follow
        except CorruptCheckpointError as error:
            print_line(f"{path} is corrupt and was skipped: {error}")
            continue
        count += 1
        if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
            raise ValueError(f"{path} does not fit {model.name}")
        for i, value in enumerate(values):
            is_float = value.dtype.kind == "f"
            sums[i] = sums[i] + value.astype("float64") if is_float else value
    if not count:
        raise ValueError(f"there is no checkpoint to average, of {len(paths)}")
    for variable, total in zip(variables, sums, strict=True):
        variable.assign(total / count if total.dtype.kind == "f" else total)


def print_line(text: str) -> None:
    """Prints one line to standard error."""
    print(text, file=sys.stderr, flush=True)


def write_checkpoint(
    path: pathlib.Path, about: dict, arrays: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Writes a checkpoint; an incomplete file never has its name.

    Args:
        path: path of the file.
        about: JSON object.
        arrays: arrays by the letter of their names.
    """
    counts = {letter: len(values) for letter, values in arrays.items()}
    content = np.frombuffer(json.dumps({**about, "arrays": counts}).encode(), np.uint8)
    named = {
        f"{letter}{i}": value for letter, values in arrays.items() for i, value in enumerate(values)
    }
    with write_atomically(path) as written:
        np.savez(written, about=content, **named)
        # The comment of a .zip file is at its end.
        with zipfile.ZipFile(written, "a") as archive:
            archive.comment = b"0" * _DIGEST_BYTES
        with written.open("r+b") as file:
            digest = _digest(file, written.stat().st_size - _DIGEST_BYTES)
            file.seek(-_DIGEST_BYTES, os.SEEK_END)
            file.write(digest)


def read_checkpoint(path: pathlib.Path) -> CheckpointContent:
    """Returns the content of a checkpoint.

    Raises:
        CorruptCheckpointError: for a file that is incomplete, changed or unreadable.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
            if size <= 0 or _digest(file, size) != file.read():
                raise CorruptCheckpointError(
                    "the file is empty" if size == -_DIGEST_BYTES else "its digest does not match"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                about = json.loads(arrays["about"].tobytes())
                values = {
                    letter: [arrays[f"{letter}{i}"] for i in range(count)]
                    for letter, count in about["arrays"].items()
                }
    except OSError as error:
        raise CorruptCheckpointError(error.strerror or "it cannot be read") from None
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptCheckpointError(reason) from None
    return CheckpointContent(about, values)


def _digest(file, size):
    """Returns the hexadecimal SHA-256 of the first `size` bytes of a file, and leaves the file after them."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (part := file.read(min(size, 2**20))):
        digest.update(part)
        size -= len(part)
    return digest.hexdigest().encode()


def path_of_step(directory: pathlib.Path, step: int) -> pathlib.Path:
    """Returns the path of the checkpoint of a step."""
    return directory / f"step-{step:010d}.npz"


def step_of_path(path: pathlib.Path) -> int:
    """Returns the step of a checkpoint."""
    return int(path.stem.removeprefix("step-"))

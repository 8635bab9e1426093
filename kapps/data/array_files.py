"""Arrays in .npy and .npz files of users. Shapes and types are checked against the file before an array is read."""

import math
import os
import tokenize
import zipfile
import zlib
from typing import BinaryIO

import numpy as np

from kapps._local_paths import local_path
from kapps.data.errors import DataError

MAX_BYTES = 2**31
"""Largest size of the arrays that are read from one file."""
_MOST_EXPANSION, _SMALL_BYTES = 100, 2**26
"""Compressed arrays may have `_SMALL_BYTES`, or so many times the size of their file."""
_FORMAT_ERRORS = (
    ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError, tokenize.TokenError, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip


def read_array(path: str | os.PathLike) -> np.ndarray:
    """Returns the array of an .npy file.

    Raises:
        DataError: the file cannot be read, holds Python objects, or declares another size than it has or more than
            `MAX_BYTES`.
    """
    path = local_path(path)
    try:
        with open(path, "rb") as file:
            _check_header(path, "its array", file, os.path.getsize(path))
            return np.load(path, allow_pickle=False)
    except (OSError, *_FORMAT_ERRORS) as error:
        raise _data_error(path, ".npy", error) from None


def read_arrays(path: str | os.PathLike, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Returns the named arrays of an .npz file.

    Raises:
        DataError: as for `read_array`; an array is missing, or the file expands to far more than its own size.
    """
    path = local_path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            missing = [name for name in names if name not in members]
            if missing:
                listed = ", ".join(list(members)[:10]) or "nothing"
                raise DataError(
                    f"{path} holds {listed}: {', '.join(names)} are needed, and {missing[0]} is missing"
                )
            sizes = [archive.getinfo(members[name]).file_size for name in names]
            limit = min(MAX_BYTES, max(_SMALL_BYTES, _MOST_EXPANSION * os.path.getsize(path)))
            if sum(sizes) > limit:
                raise DataError(
                    f"{path} holds {sum(sizes):,} bytes of arrays, and kapps reads up to {limit:,} of this file"
                )
            for name, size in zip(names, sizes, strict=True):
                with archive.open(members[name]) as file:
                    _check_header(path, name, file, size)
            arrays = {}
            for name in names:
                with archive.open(members[name]) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
            return arrays
    except (OSError, *_FORMAT_ERRORS) as error:
        raise _data_error(path, ".npz", error) from None


def _data_error(path, kind: str, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(f"{path} is not a readable {kind} file: {reason.splitlines()[0]}")


def _check_header(path, name: str, file: BinaryIO, size: int) -> None:
    """Raises `DataError` for an array of objects, and for one whose shape is not that of the file's content."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:
        raise DataError(
            f"{path}: {name} holds Python objects (pickle), which kapps does not read: save numbers or strings, for"
            " example with array.astype(int)"
        )
    declared, content = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or declared != content:
        raise DataError(
            f"{path}: {name} declares {dtype} {list(shape)} of {declared:,} bytes, and the file has {content:,}:"
            " it is truncated or corrupt; write it again"
        )
    if declared > MAX_BYTES:
        raise DataError(
            f"{path}: {name} has {declared:,} bytes, and kapps reads up to {MAX_BYTES:,} of one file"
        )

"""Paths of exported files: local, in a directory that can be written."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from kapps._files import temporary_directory


def local_path(path: str | os.PathLike) -> pathlib.Path:
    """Returns the path; raises ValueError for an address such as "gs://bucket/models"."""
    if "://" in os.fspath(path):
        raise ValueError(f"{path} is not a local path: export to a local path, then copy the files")
    return pathlib.Path(path)


@contextlib.contextmanager
def temporary_directory_in(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary directory in `folder`; raises ValueError if `folder` cannot be written."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(temporary_directory(folder))
        except OSError as error:
            raise ValueError(f"{folder} cannot be written: {error.strerror}") from error
        yield directory

"""Where exported files may go: local directories that can be written."""

import contextlib
import os
import pathlib

from kapps._files import temporary_directory


def local(path: str | os.PathLike) -> pathlib.Path:
    """Returns the path; ValueError for an address."""
    if "://" in os.fspath(path):
        raise ValueError(f"{path} is not a local path: write locally, then copy the whole")
    return pathlib.Path(path)


@contextlib.contextmanager
def folder_for(folder: pathlib.Path):
    """Yields a new directory in `folder`, as `kapps._files.temporary_directory`; ValueError where none can be made."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(temporary_directory(folder))
        except OSError as error:
            raise ValueError(f"{folder} cannot be written: {error.strerror}") from error
        yield made

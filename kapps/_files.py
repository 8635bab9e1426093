"""Writes files and directories so that no incomplete one is left behind: to a temporary path, then renamed."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from kapps._local_paths import local_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def temporary_directory(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Makes a new directory inside `folder`, on the same file system, and removes it afterwards.

    Args:
        folder: created if it is missing. Directories created for it are removed again if they are empty.

    Yields:
        The path of the new directory.
    """
    folder = local_path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    directory = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        directory = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
        yield directory
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path to write to, which is renamed to `path` if the block succeeds and removed if it fails.

    A file replaces an older file in one step. A directory replaces nothing.

    Args:
        path: of the file or directory. Its parent directory is created if it is missing.

    Yields:
        The path to write to, on the same file system and with the same suffixes as `path`.

    Raises:
        FileExistsError: if a directory is written and `path` exists. What is there does not change.
    """
    path = local_path(path)
    with temporary_directory(path.parent) as folder:
        temporary = folder / path.name
        yield temporary
        flush(temporary)
        if temporary.is_dir() and path.exists():
            raise FileExistsError(f"{path} exists already")
        os.replace(temporary, path)
        sync(path.parent)


@contextlib.contextmanager
def open_exclusively(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Opens a file to append bytes to, after every other process that opened it so has closed it.

    The lock ends with the process. On Windows there is no lock.

    Args:
        path: created if it is missing.

    Yields:
        The file, unbuffered.
    """
    while True:
        with open(path, "ab", buffering=0) as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            # Another process may have renamed or removed the file during the wait.
            if os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                yield file
                return


def flush(path: pathlib.Path) -> None:
    """Writes a file, or everything in a directory, to the disk."""
    sync(path, *path.rglob("*"))


def sync(*paths: pathlib.Path) -> None:
    """Writes files and directory entries from the operating system's cache to the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

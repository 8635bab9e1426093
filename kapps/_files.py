"""Writes files and directories so that no incomplete one is left behind: to a temporary path, then renamed."""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from kapps._local_paths import local_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_PREFIX = ".writing-"
_active: set[pathlib.Path] = set()
"""The temporary directories of this process."""


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
    directory = lock = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        directory, lock = _make_locked_directory(folder)
        _active.add(directory)
        yield directory
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
            _active.discard(directory)
        if lock is not None:
            os.close(lock)
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Removes the temporary directories that killed processes have left in `folder`.

    A process locks its temporary directories, and the kernel releases the locks when it ends. A directory whose lock
    is free belongs to no process. Where the file system has no locks, nothing is removed.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [
            entry.path for entry in entries if re.fullmatch(rf"{_PREFIX}[a-z0-9_]{{8}}", entry.name)
        ]
        for name in names:
            path = pathlib.Path(name)
            if path in _active:
                continue
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def remove_active() -> None:
    """Removes the temporary directories of this process, which ends without leaving its `with` blocks."""
    for path in list(_active):
        shutil.rmtree(path, ignore_errors=True)


def _make_locked_directory(folder):
    """Returns a new temporary directory and the descriptor of its lock, or `None` without locks."""
    while True:
        directory = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        lock = _lock(directory)
        if directory.exists():
            return directory, lock
        # Another process has removed it before it was locked.
        if lock is not None:
            os.close(lock)


def _lock(path):
    """Returns the descriptor of a directory that this process has locked; `None` if it cannot be locked."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


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
    try:
        with temporary_directory(path.parent) as folder:
            temporary = folder / path.name
            yield temporary
            flush(temporary)
            if temporary.is_dir() and path.exists():
                raise FileExistsError(f"{path} exists already")
            os.replace(temporary, path)
            sync(path.parent)
    except OSError as error:
        # A write does not know its file, and the temporary path means nothing to the user.
        is_temporary = error.filename is None or ".writing-" in str(error.filename)
        if error.errno is not None and is_temporary:
            error.filename, error.filename2 = os.fspath(path), None
        raise


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

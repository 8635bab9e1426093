"""The lock of a run's directory: two runs never write to the same one."""

import os
import pathlib
import socket
import sys

from kapps import _files

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FILE = ".lock"
_held: dict[str, int | None] = {}
"""Descriptors of the lock files of this process, by directory."""


class DirectoryInUseError(ValueError):
    """A directory that another run writes to; the message is one line."""


def lock_directory(directory: str | os.PathLike) -> None:
    """Locks a run's directory until this process ends, and removes what killed runs have left in it.

    The directory is created if it does not exist. The kernel releases the lock when the process ends in any way. A
    process may lock a directory again. Of several workers only the first one locks.

    Args:
        directory: directory of the run.

    Raises:
        DirectoryInUseError: if another process has the lock.
    """
    directory = pathlib.Path(directory)
    key = os.path.realpath(directory)
    if key in _held:
        return
    directory.mkdir(parents=True, exist_ok=True)
    _held[key] = _lock(directory)
    for folder in (directory, directory / "checkpoints"):
        _files.remove_leftovers(folder)


def unlock_directory(directory: str | os.PathLike) -> None:
    """Releases the lock of a directory before the process ends."""
    descriptor = _held.pop(os.path.realpath(directory), None)
    if descriptor is not None:
        os.close(descriptor)


def _lock(directory):
    """Returns the descriptor of the locked file; `None` where there are no locks."""
    if fcntl is None:
        _print_without_locks(directory, "this system")
        return None
    descriptor = os.open(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise DirectoryInUseError(
            f"{directory} is in use by {owner}: wait for its end, end it, or give another --model_dir"
        ) from None
    except OSError as error:
        os.close(descriptor)
        _print_without_locks(directory, f"its file system ({error.strerror})")
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return descriptor


def _print_without_locks(directory, what):
    print(
        f"{directory} cannot be locked on {what}: do not start two runs in it",
        file=sys.stderr,
        flush=True,
    )

"""Writing that never leaves half a file behind: aside first, then renamed."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def aside(path):
    """Gives a path to write to that becomes `path` when the block ends, and vanishes when it fails.

    A file replaces an older one at `path` in one step. A directory replaces nothing: where `path` exists
    already, FileExistsError is raised, and what was there stays as it was.

    Args:
        path: of the file or directory to be written; its parent is made where it is missing.

    Yields:
        The `pathlib.Path` to write, on the same file system and with the same suffixes as `path`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        written = folder / path.name
        _sync(written, *written.rglob("*"))
        if written.is_dir() and path.exists():
            raise FileExistsError(f"{path} exists already")
        os.replace(written, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(*paths):
    """Asks the operating system to put files and directory entries on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

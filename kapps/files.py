"""Writing that never leaves half a file behind: aside first, then renamed."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def beside(folder):
    """Gives a new directory in `folder`, hence on its file system, which is gone afterwards.

    Args:
        folder: made where it is missing; directories made for it go too where nothing was moved into them.

    Yields:
        The `pathlib.Path` of the new directory.
    """
    folder = pathlib.Path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
        yield made
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()


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
    with beside(path.parent) as folder:
        written = folder / path.name
        yield written
        flush(written)
        if written.is_dir() and path.exists():
            raise FileExistsError(f"{path} exists already")
        os.replace(written, path)
        sync(path.parent)


def flush(path):
    """Has the disk hold a file, or all below a directory, before a name points at it."""
    sync(path, *path.rglob("*"))


def sync(*paths):
    """Asks the operating system to put files and directory entries on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

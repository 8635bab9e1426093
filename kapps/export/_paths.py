"""The directory that a file is exported to."""

import contextlib
import pathlib
from collections.abc import Iterator

from kapps._files import temporary_directory


@contextlib.contextmanager
def temporary_directory_in(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary directory in `folder`; raises ValueError if `folder` cannot be written."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(temporary_directory(folder))
        except OSError as error:
            raise ValueError(f"{folder} cannot be written: {error.strerror}") from error
        yield directory

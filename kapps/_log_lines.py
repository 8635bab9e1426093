"""Keeps log lines of TensorFlow's and LiteRT's C++ code off the terminal."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# Information and warning lines of LiteRT, and of absl, for example "I0000 00:00:17.7 32 port.cc:153] oneDNN ...".
_LOG_LINE = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl|INFO: |WARNING: ")

_terminals = []
"""Copies of file descriptor 2 before it was redirected, the first one at the start."""


def standard_error() -> int:
    """Returns a file descriptor of standard error, also while `without_log_lines` redirects descriptor 2."""
    return _terminals[0] if _terminals else 2


@contextlib.contextmanager
def without_log_lines(after_exception: bool = True) -> Iterator[None]:
    """Removes information and warning lines of C++ code from standard error; prints all other lines afterwards.

    C++ code writes to file descriptor 2 directly, and TF_CPP_MIN_LOG_LEVEL does not apply to lines that are logged
    while a library is loaded, so the descriptor is redirected to a file.

    Args:
        after_exception: whether to print the other lines if the block raises an exception.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    _terminals.append(terminal)
    printing = after_exception
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
            printing = True
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            _terminals.remove(terminal)
            os.close(terminal)
            file.seek(0)
            for line in file if printing else ():
                if not _LOG_LINE.match(line):
                    os.write(2, line)

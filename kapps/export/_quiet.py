"""Keeps log lines of TensorFlow's and LiteRT's C++ code off the terminal."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

import tensorflow as tf

# Information and warning lines of absl and of LiteRT. Every other line is passed on.
_LOG_LINE = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl|INFO: |WARNING: ")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses information and warning lines of C++ code; prints all other lines when the block ends.

    C++ code writes to file descriptor 2 directly, and TensorFlow reads its log level only when it is
    imported, so the descriptor has to be redirected. Nothing is printed if the block raises an exception.
    """
    logger = tf.get_logger()
    level = logger.level
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        try:
            logger.setLevel("ERROR")
            os.dup2(captured.fileno(), 2)
            yield
            captured.seek(0)
            for line in captured:
                if not _LOG_LINE.match(line):
                    os.write(terminal, line)
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            logger.setLevel(level)

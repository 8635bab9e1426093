"""TensorFlow's and LiteRT's C++ code kept from the terminal while a file is written or run."""

import contextlib
import os
import re
import sys
import tempfile

import tensorflow as tf

# absl's information and warning lines, and LiteRT's; whatever else is printed is passed on.
_CHATTER = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl|INFO: |WARNING: ")


@contextlib.contextmanager
def quiet():
    """Keeps information and warnings of C++ code off the terminal; what else is printed arrives.

    That code writes to the process's standard error itself, and its level is fixed when TensorFlow
    is imported, so only a redirection of the descriptor reaches it. An exception speaks for itself.
    """
    logger = tf.get_logger()
    level = logger.level
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as written:
        try:
            logger.setLevel("ERROR")
            os.dup2(written.fileno(), 2)
            yield
            written.seek(0)
            for line in written:
                if not _CHATTER.match(line):
                    os.write(terminal, line)
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            logger.setLevel(level)

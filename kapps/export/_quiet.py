"""Keeps log lines of TensorFlow and LiteRT, in C++ and in Python, off the terminal."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from kapps._log_lines import without_log_lines


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses information and warnings; other lines are printed when the block ends, if it raises no exception."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with without_log_lines(after_exception=False):
            yield
    finally:
        logger.setLevel(level)

"""Imports TensorFlow with the settings of the recipes, and without its start-up messages.

A recipe imports this module before all others: TensorFlow reads the settings once, when it is imported. Environment
variables that the user has set have priority.
"""

import contextlib
import os
import re
import sys
import tempfile

# TensorFlow logs hundreds of harmless lines as errors. A real error is also an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN is faster on every CPU, but TensorFlow enables it only on some. Its convolution fails for an empty batch
# (TensorFlow 2.21), which one of several workers may get at the end of the evaluation images.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if "TF_CONFIG" in os.environ else "1")

# The lines of absl's logging in C++, for example "I0000 00:00:1795673450.766501   32252 cudart_stub.cc:31] ...".
_LOG_LINE = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl")


@contextlib.contextmanager
def without_log_lines():
    """Removes information and warning lines of C++ code from standard error; all other lines are printed afterwards.

    TF_CPP_MIN_LOG_LEVEL does not apply to lines that C++ code logs while its library is loaded. They go directly to
    file descriptor 2, so the descriptor is redirected to a temporary file.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            file.seek(0)
            for line in file:
                if not _LOG_LINE.match(line):
                    os.write(2, line)


with without_log_lines():
    import tensorflow as tf  # noqa: F401

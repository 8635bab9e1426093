"""Imports TensorFlow with the settings of the recipes, and without its start-up messages.

A recipe imports this module before all others: TensorFlow reads the settings once, when it is imported. Environment
variables that the user has set have priority.
"""

import os

from kapps._log_lines import without_log_lines

# TensorFlow logs hundreds of harmless lines as errors. A real error is also an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN is faster on every CPU, but TensorFlow enables it only on some. Its convolution fails for an empty batch
# (TensorFlow 2.21), which one of several workers may get at the end of the evaluation images.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if "TF_CONFIG" in os.environ else "1")

with without_log_lines():
    import tensorflow as tf  # noqa: F401

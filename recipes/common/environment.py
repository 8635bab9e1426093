"""Imports TensorFlow with the settings of the recipes, and without its start-up messages; handles Ctrl-C.

A recipe imports this module before all others: TensorFlow reads the settings once, when it is imported. Environment
variables that the user has set have priority.
"""

import json
import os
import sys

from common import IS_RECIPE

PROGRAM = os.path.basename(sys.argv[0])
try:
    from kapps import _errors, _interrupts
    from kapps._log_lines import without_log_lines
except ModuleNotFoundError as error:
    sys.exit(
        f"{PROGRAM}: the package {error.name} is not installed in {sys.executable}: run pip install -e . in the folder"
        " of setup.py"
    )

_errors.install(PROGRAM)  # an import that fails is one line
if IS_RECIPE:
    _interrupts.install()

# TensorFlow logs hundreds of harmless lines as errors. A real error is also an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN is faster on every CPU, but TensorFlow enables it only on some. Its convolution fails for an empty batch
# (TensorFlow 2.21), which one of several workers may get at the end of the evaluation images.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if "TF_CONFIG" in os.environ else "1")


def check_keras_settings() -> None:
    """Raises ValueError if Keras has another backend, float type or image format than the recipes need."""
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise ValueError(
            f"KERAS_BACKEND={backend}: the recipes need TensorFlow; unset the variable, or set it to tensorflow"
        )
    try:
        with open(os.path.join(home, "keras.json"), encoding="utf-8") as file:
            settings = json.load(file)
    except (OSError, ValueError):
        return  # Keras ignores such a file too
    for key, needed in KERAS_SETTINGS.items():
        value = settings.get(key, needed) if isinstance(settings, dict) else needed
        if value != needed and not (key == "backend" and os.environ.get("KERAS_BACKEND")):
            raise ValueError(
                f"{os.path.join(home, 'keras.json')} has {key}={value!r}: the recipes need {needed!r}; change the file"
            )


KERAS_SETTINGS = {
    "backend": "tensorflow",
    "floatx": "float32",
    "image_data_format": "channels_last",
}
"""The settings of keras.json that the recipes need."""

check_keras_settings()
with without_log_lines():
    import tensorflow as tf  # noqa: F401

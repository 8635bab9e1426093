"""kapps: Keras applications that match their papers, with their pipelines, recipes and exports.

`from kapps import resnext50` loads the module of that builder only. `kapps.families` has the family functions.
"""

import importlib
import importlib.util
import os
import signal
import sys

import lazy_loader

# In the program `kapps`, Ctrl-C during the imports below, which take a part of a second, would print a traceback.
_is_program = os.path.basename(sys.argv[0]) == "kapps" or sys.orig_argv[1:3] == ["-m", "kapps"]
if _is_program and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import wrapt  # noqa: E402

from kapps import _names, cards  # noqa: E402

__version__ = "0.1.0"

FUNCTIONS = {
    "analysis": ("profile",),
    "generation": ("generate", "translate", "translator"),
    "data.image.preprocess": ("preprocess",),
    "predictions": ("decode_predictions",),
    "visualize.attention_weights": ("attention_weights",),
    "cards": ("Card", "card", "list_models"),
    "preprocessing": ("Preprocessing",),
    "layers": ("to_keras_layers",),
    "layers.recurrent_cells": (
        "CoupledLSTMCell",
        "GRUCell",
        "LearnedState",
        "MultiplicativeLSTMCell",
        "PeepholeLSTMCell",
    ),
    "generation.ctc_decoding": ("ctc_labels",),
    "training.metrics": ("label_error_rate",),
    "layers.cudnn": ("why_not_cudnn",),
    "builders": ("pyramid_outputs",),
}
SUBMODULES = (
    "analysis",
    "attention",
    "cards",
    "data",
    "early_exit",
    "export",
    "families",
    "generation",
    "generative",
    "heads",
    "layers",
    "preprocessing",
    "recurrent",
    "search",
    "segmentation",
    "training",
    "visualize",
    "weights",
)

_load, __dir__, __all__ = lazy_loader.attach(
    __name__, SUBMODULES, {**FUNCTIONS, **cards.builder_modules()}
)


def __getattr__(name):
    try:
        return _load(name)
    except AttributeError:
        if name.startswith("__"):
            raise
        # `from kapps import name` calls hasattr, which drops the message of an AttributeError.
        importing = sys._getframe(1).f_code.co_name == "_handle_fromlist"
        importing = importing and importlib.util.find_spec(f"kapps.{name}") is None
        kind = ImportError if importing else AttributeError
        if name in cards.family_modules():
            hint = f" The family function is kapps.families.{name}"
        else:
            hint = _names.nearest(name, __all__)
        raise kind(f"kapps has no {name!r}.{hint}") from None


_WITH_REGISTERED_CLASSES = (
    "layers",
    "generation._step_layers",
    "training.losses",
    "training.metrics",
    "training.optimizers",
    "training.schedules",
    "training.segmentation_losses",
    "training.segmentation_metrics",
)


@wrapt.when_imported("keras")
def _register(_):
    """Registers kapps's classes when Keras is imported, so that saved models load after `import kapps`."""
    for name in _WITH_REGISTERED_CLASSES:
        importlib.import_module(f"kapps.{name}")

"""kapps: Keras applications that match their papers, and the pipelines, recipes and exports around them.

`from kapps import resnext50` loads what it names and no more; the names are those of `__init__.pyi`.
"""

import importlib
import importlib.util
import sys

import lazy_loader
import wrapt

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"


def __getattr__(name):
    try:
        return _load(name)
    except AttributeError:
        if name.startswith("__"):
            raise
        from kapps.cards import nearest

        # `from kapps import name` asks by hasattr, and would drop an AttributeError's message.
        importing = sys._getframe(1).f_code.co_name == "_handle_fromlist"
        importing = importing and importlib.util.find_spec(f"kapps.{name}") is None
        kind = ImportError if importing else AttributeError
        raise kind(f"kapps has no {name!r}.{nearest(name, __all__)}") from None


_WITH_LAYERS = ("layers", "generation._step_layers")


@wrapt.when_imported("keras")
def _register(_):
    """Registers our layers as soon as Keras is there, so that a saved model finds them by `import kapps` alone."""
    for name in _WITH_LAYERS:
        importlib.import_module(f"kapps.{name}")

"""Names that users pass: the nearest of the allowed ones."""

import difflib
import importlib.util
import sys
from collections.abc import Callable


def nearest(word: str, words) -> str:
    """Returns " Did you mean a or b?" for the nearest of `words`, or "" if none is near."""
    close = difflib.get_close_matches(word, words, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def attribute_finder(package: str, load: Callable | None = None) -> Callable:
    """Returns the `__getattr__` of a package or module: an unknown name is an error with the nearest match.

    Args:
        package: name of the package, `__name__`.
        load: function that loads the names of `__all__` on first use, of `lazy_loader`.
    """

    def find(name):
        content = vars(sys.modules[package])
        names = content.get("__all__") or [key for key in content if not key.startswith("_")]
        if load is not None and name in names:
            return load(name)
        hint = "" if name.startswith("__") else nearest(name, names)
        message = f"{package} has no {name!r}.{hint}"
        # `from kapps.export import name` calls hasattr, which drops the message of an AttributeError.
        importing = sys._getframe(1).f_code.co_name == "_handle_fromlist"
        if importing and hint and importlib.util.find_spec(f"{package}.{name}") is None:
            raise ImportError(message)
        raise AttributeError(message)

    return find

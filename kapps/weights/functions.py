"""Whether a network of another library computes the same function as a model whose weights have the same shapes.

Some options of a family change what is computed and no weight: the place of a stride, the constants of a normalisation,
a bypass. `OPTIONS` in a module of `kapps.weights.names` says which values the networks of a library have:

    OPTIONS = {"pytorchcv": (("squeezeresnet", {"bypass": "simple"}), ("squeezenet", {"bypass": None}))}

Each row has the beginning of the names of published files, as a pattern, and the options of these networks. The first
row whose pattern fits a file applies; the empty pattern fits every file.
"""

import pathlib
import re
import types
from typing import Any

from kapps.weights._messages import printable


def check_function(
    path: pathlib.Path, module: types.ModuleType, library: str, options: dict[str, Any], family: str
) -> None:
    """Raises ValueError if a file has the weights of a network that computes another function than the model.

    Args:
        path: of the file.
        module: with the names of the family's layers in other libraries.
        library: whose names the file has.
        options: of the model's body.
        family: name of the model's family.
    """
    rows = getattr(module, "OPTIONS", {}).get(library, (("", {}),))
    required = next((row for pattern, row in rows if re.match(pattern, path.name)), None)
    if required is None:
        raise ValueError(
            f"{library} has networks of different functions with the names in this file: keep its published "
            f"name, which begins with the network's, not {printable(path.name)}"
        )
    other = {key: value for key, value in required.items() if _plain(options.get(key)) != value}
    if other:
        text = ", ".join(f"{key}={value!r}" for key, value in required.items())
        own = ", ".join(f"{key}={_plain(options.get(key))!r}" for key in required)
        raise ValueError(
            f"{library}'s network has {text}, and this one {own}, which is another function; "
            f"kapps.families.{family} takes these options"
        )


def _plain(value):
    """Returns an option as `OPTIONS` has it: a function's name in place of the function."""
    return getattr(value, "__name__", value)

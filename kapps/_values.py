"""Checks of values that users pass; the messages are one line."""

import math
import numbers
import re

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10)),
}
"""Names that Windows keeps for devices."""


def check_model_name(name: str) -> str:
    """Returns a model's name, if it is one word: it becomes part of layers' names and the name of files.

    Raises:
        ValueError: for a name with other characters than letters, digits, "_", "-" and ".", of more than 200
            characters, or that Windows reserves.
    """
    if (
        isinstance(name, str)
        and WORD.fullmatch(name)
        and len(name) <= 200
        and not name.endswith(".")
        and name.partition(".")[0].lower() not in RESERVED
    ):
        return name
    raise ValueError(
        f"name={short(name)} cannot be the name of a model or of its files: use letters, digits, _, - and ., a letter "
        "or a digit first, at most 200"
    )


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of HOST:PORT.

    Raises:
        ValueError: the text has another form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"{short(address)} is not HOST:PORT, such as 10.0.0.1:5050")
    return host.strip("[]"), int(port)


def check_file_name(name: str) -> str:
    """Returns a model's name, if a directory or file of this name lies in the directory that it is put in.

    Raises:
        ValueError: for a name that is empty, has a separator or a control character, begins with ".", or is reserved.
    """
    if (
        isinstance(name, str)
        and name.strip()
        and not name.startswith(".")
        and not any(c in "/\\:" or not c.isprintable() for c in name)
        and len(name.encode()) <= 200
        and name.partition(".")[0].lower() not in RESERVED
    ):
        return name
    raise ValueError(
        f"the model's name {short(name)} cannot be the name of a directory: build the model with another name="
    )


def is_integer(value, least: int = 1, most: float = math.inf) -> bool:
    """Whether a value is an integer, not a bool, of at least `least` and at most `most`."""
    return (
        isinstance(value, numbers.Integral)
        and not isinstance(value, bool)
        and least <= value <= most
    )


def is_number(value) -> bool:
    """Whether a value is a finite number and not a bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def short(value, most: int = 80) -> str:
    """Returns the representation of a value in one line, cut to `most` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."

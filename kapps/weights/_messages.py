"""Errors of one line about files of others, whose names and error messages may hold anything."""

import contextlib
from collections.abc import Iterator

from kapps.weights.published_padding import OtherPaddingError

LONGEST = 80
"""Characters of a name that an error message shows."""


def printable(text: object, longest: int = LONGEST) -> str:
    """Returns a text on one line: shortened, with escapes for control characters and lone surrogates."""
    text = str(text)
    short = text if len(text) <= longest else text[: longest - 3] + "..."
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in short
    )


def first_line(error: BaseException | str) -> str:
    """Returns the first line of an error's message, or its type."""
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__, 300)


@contextlib.contextmanager
def as_value_errors() -> Iterator[None]:
    """Turns any error of a reader into ValueError with one line: a corrupt file may raise any error."""
    try:
        yield
    except OtherPaddingError:
        raise
    except MemoryError as error:
        raise ValueError("it does not fit into memory") from error
    except Exception as error:
        ours = type(error) is ValueError or type(error).__module__.startswith("kapps.")
        corrupt = "" if ours else "it is incomplete or corrupt: "
        raise ValueError(f"{corrupt}{first_line(error)}") from error

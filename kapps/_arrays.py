"""Arrays from what users pass."""

import numpy as np

from kapps._values import short


def as_array(name: str, values, dtype=None, error: type[Exception] = ValueError) -> np.ndarray:
    """Returns values, such as nested lists, as an array.

    Args:
        name: of the argument, for the error.
        values: an array, a tensor or nested sequences.
        dtype: of the array; None for the values' own.
        error: that is raised for rows of different lengths, and for values that `dtype` does not hold.
    """
    try:
        return np.asarray(values, dtype)
    except (ValueError, TypeError) as reason:
        kind = "" if dtype is None else f" of {dtype}"
        raise error(
            f"{name}={short(values)} is not an array{kind}: pass numbers only, in rows of the same length"
        ) from reason

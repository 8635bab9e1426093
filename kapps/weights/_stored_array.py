"""An array in a file: its shape and type are known before its values are read."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array of a weights file.

    Args:
        shape: of the array.
        dtype: NumPy's name of the type, or "bfloat16", which is read as float32.
        read: returns the values.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Returns the values, for `np.asarray`."""
        return np.asarray(self.read(), dtype=dtype, copy=copy)


def widen_bfloat16(values: np.ndarray) -> np.ndarray:
    """Returns float32 values from the bits of bfloat16, which are the upper half of a float32."""
    result = values.astype("<u4")
    result <<= 16
    return result.view("<f4")

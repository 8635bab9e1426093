"""Reads `.safetensors` files: the length of a header, the header in JSON, and the bytes of the tensors.

The `safetensors` package checks that the tensors fill the file without gaps and overlaps. It accepts a name that occurs
twice and a header of 100 MB, which are checked here.
"""

import json
import math
import pathlib

from kapps.weights._messages import printable
from kapps.weights._stored_array import StoredArray, widen_bfloat16

LARGEST_HEADER = 2**22
"""Bytes: 40,000 tensors."""
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
METADATA = "__metadata__"


def read_arrays(path: pathlib.Path) -> dict[str, StoredArray]:
    """Returns {name: array} of a file, whose values are not read yet.

    Raises:
        ValueError: with the reason, without the file's name; any other error for a corrupt file.
    """
    from safetensors import safe_open

    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(LARGEST_HEADER, path.stat().st_size - 8):
            raise ValueError(
                f"it declares a header of {length:,} bytes and has {path.stat().st_size:,} bytes"
            )
        header = json.loads(file.read(length), object_pairs_hook=_unique)
    with safe_open(path, "numpy"):  # compares the offsets and types with the file's length
        pass
    arrays = {}
    for name, entry in header.items():
        if name == METADATA:
            continue
        dtype, shape = DTYPES.get(entry["dtype"], entry["dtype"]), tuple(entry["shape"])
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        arrays[name] = StoredArray(shape, dtype, _reader(path, dtype, shape, begin, end))
    return arrays


def _unique(pairs):
    """Returns a dictionary of (key, value), whose keys must differ."""
    result = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"it has two values of {printable(key)}")
        result[key] = value
    return result


def _reader(path, dtype, shape, begin, end):
    import numpy as np

    kind = "<u2" if dtype == "bfloat16" else dtype

    def read():
        values = np.fromfile(path, kind, math.prod(shape), offset=begin).reshape(shape)
        if values.nbytes != end - begin:
            raise ValueError("it is incomplete")
        return widen_bfloat16(values) if dtype == "bfloat16" else values

    return read

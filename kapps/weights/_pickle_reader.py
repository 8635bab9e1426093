"""Reads PyTorch's files without PyTorch, and without executing code in them.

A `.pth` file holds a pickle and the bytes of its tensors: as parts of a zip archive or, before PyTorch 1.6, one after
the other. The pickle may name only dictionaries and tensors. Any other name raises `UnsafePickleError`, so the pickle
calls nothing. The layout is that of `torch.save`; see torch/serialization.py.
"""

import collections
import math
import pickle
import zipfile

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""First values of a file in the old layout."""
TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",  # the upper half of a float32
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class UnsafePickleError(Exception):
    """A pickle names something other than dictionaries and tensors."""


class Tensor:
    """A tensor, as a view of a storage whose bytes follow the pickle."""

    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self, values):
        """Returns the NumPy array, from {storage's key: values}."""
        kind, key = self.storage
        storage = values[key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if min(self.offset, *self.stride, *self.size, 0) < 0 or last >= max(len(storage), 1):
            raise ValueError("a tensor is outside its storage")
        if math.prod(self.size) > len(storage):
            raise ValueError("a tensor has more values than its storage")
        strides = [step * storage.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(storage[self.offset :], self.size, strides)
        if kind == "BFloat16Storage":
            return (view.astype("<u4") << 16).view("<f4")
        return np.array(view)


class Reader(pickle.Unpickler):
    """An unpickler that accepts only dictionaries and tensors."""

    def __init__(self, file):
        super().__init__(file, encoding="utf-8")
        self.storages = {}

    def find_class(self, module, name):
        allowed = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): Tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): tuple,
        }
        if module == "torch" and name in TYPES:
            return name
        if (module, name) not in allowed:
            raise UnsafePickleError(f"{module}.{name}")
        return allowed[module, name]

    def persistent_load(self, identity):
        _, kind, key, _, numel, *view = identity
        if any(view) or kind not in TYPES:
            raise UnsafePickleError(str(kind))
        self.storages[key] = kind, numel
        return kind, key


def _parameter(tensor, *_):
    return tensor


def load(path, limit):
    """Returns the content of a file of PyTorch, with NumPy arrays for its tensors.

    Args:
        path: of the file.
        limit: largest size in bytes of the unpacked file.

    Raises:
        UnsafePickleError: if the pickle names anything but dictionaries and tensors.
        ValueError: if the file is not a file of PyTorch, or is incomplete or corrupt.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content, values = _read_archive(archive, limit)
        else:
            with open(path, "rb") as file:
                content, values = _read_sequence(file)
        return _to_arrays(content, values)
    except UnsafePickleError:
        raise
    except Exception as error:  # a corrupt pickle may raise any error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(reason) from error


def _read_archive(archive, limit):
    size = sum(part.file_size for part in archive.infolist())
    if size > limit:
        raise ValueError(
            f"it unpacks to {size:,} bytes, and the model's weights have at most {limit:,}"
        )
    root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))[
        : -len("data.pkl")
    ]
    order = f"{root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("it is not little-endian")
    with archive.open(f"{root}data.pkl") as file:
        reader = Reader(file)
        content = reader.load()
    values = {
        key: _read_values(archive.read(f"{root}data/{key}"), kind, numel)
        for key, (kind, numel) in reader.storages.items()
    }
    return content, values


def _read_sequence(file):
    magic, protocol, system = (Reader(file).load() for _ in range(3))
    if (magic, protocol, system["little_endian"]) != (MAGIC, PROTOCOL, True):
        raise ValueError("it is not a file of PyTorch, or not little-endian")
    reader = Reader(file)
    content = reader.load()
    values = {}
    for key in Reader(file).load():
        kind, numel = reader.storages[key]
        if int.from_bytes(file.read(8), "little") != numel:
            raise ValueError("a tensor does not have its declared size")
        values[key] = _read_values(file.read(numel * np.dtype(TYPES[kind]).itemsize), kind, numel)
    return content, values


def _read_values(content, kind, numel):
    dtype = np.dtype(TYPES[kind])
    if len(content) != numel * dtype.itemsize:
        raise ValueError("it is incomplete")
    return np.frombuffer(content, dtype)


def _to_arrays(content, values):
    """Returns nested dictionaries with arrays in place of tensors."""
    if isinstance(content, Tensor):
        return content.array(values)
    if isinstance(content, dict):
        return {key: _to_arrays(value, values) for key, value in content.items()}
    return content

"""PyTorch's files read without PyTorch, and without running anything.

A `.pth` file holds a pickle and the bytes of its tensors: beside each other in a zip archive or, as before PyTorch 1.6,
one after the other. The pickle may name dictionaries and tensors; whatever else it names is refused, so that it can
call nothing. (The layout is that of `torch.save`; see torch/serialization.py.)
"""

import collections
import math
import pickle
import zipfile

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What a file of the old kind begins with."""
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


class MoreThanTensors(Exception):  # noqa: N818
    """A pickle names something that is no tensor."""


class Tensor:
    """A tensor of a file whose bytes are read after its pickle: where it lies among them."""

    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self, values):
        """Returns the NumPy array, from {storage's key: values}."""
        kind, key = self.storage
        given = values[key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if min(self.offset, *self.stride, *self.size, 0) < 0 or last >= max(len(given), 1):
            raise ValueError("a tensor lies outside the file's values")
        if math.prod(self.size) > len(given):
            raise ValueError("a tensor has more values than the file")
        strides = [step * given.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(given[self.offset :], self.size, strides)
        if kind == "BFloat16Storage":
            return (view.astype("<u4") << 16).view("<f4")
        return np.array(view)


class Reader(pickle.Unpickler):
    """An unpickler that knows dictionaries and tensors."""

    def __init__(self, file):
        super().__init__(file, encoding="utf-8")
        self.storages = {}

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): Tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): tuple,
        }
        if module == "torch" and name in TYPES:
            return name
        if (module, name) not in known:
            raise MoreThanTensors(f"{module}.{name}")
        return known[module, name]

    def persistent_load(self, identity):
        _, kind, key, _, numel, *view = identity
        if any(view) or kind not in TYPES:
            raise MoreThanTensors(str(kind))
        self.storages[key] = kind, numel
        return kind, key


def _parameter(tensor, *_):
    return tensor


def load(path, most):
    """Returns what a file of PyTorch holds, its tensors as NumPy arrays.

    Args:
        path: of the file.
        most: bytes that it may unpack to.

    Raises:
        MoreThanTensors: where the pickle names anything but dictionaries and tensors.
        ValueError: for what is no such file, or damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found, values = _archive(archive, most)
        else:
            with open(path, "rb") as file:
                found, values = _sequence(file)
        return _arrays(found, values)
    except MoreThanTensors:
        raise
    except Exception as error:  # what a damaged pickle leads to is anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(reason) from error


def _archive(archive, most):
    size = sum(part.file_size for part in archive.infolist())
    if size > most:
        raise ValueError(f"it unpacks to {size:,} bytes, and {most:,} is much for the model")
    root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))[
        : -len("data.pkl")
    ]
    order = f"{root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("its bytes are in the other order")
    with archive.open(f"{root}data.pkl") as file:
        reader = Reader(file)
        found = reader.load()
    values = {
        key: _values(archive.read(f"{root}data/{key}"), kind, numel)
        for key, (kind, numel) in reader.storages.items()
    }
    return found, values


def _sequence(file):
    magic, protocol, system = (Reader(file).load() for _ in range(3))
    if (magic, protocol, system["little_endian"]) != (MAGIC, PROTOCOL, True):
        raise ValueError("it is no file of PyTorch, or its bytes are in the other order")
    reader = Reader(file)
    found = reader.load()
    values = {}
    for key in Reader(file).load():
        kind, numel = reader.storages[key]
        if int.from_bytes(file.read(8), "little") != numel:
            raise ValueError("its tensors are not those that it says")
        values[key] = _values(file.read(numel * np.dtype(TYPES[kind]).itemsize), kind, numel)
    return found, values


def _values(content, kind, numel):
    dtype = np.dtype(TYPES[kind])
    if len(content) != numel * dtype.itemsize:
        raise ValueError("it is cut short")
    return np.frombuffer(content, dtype)


def _arrays(found, values):
    """Returns dictionaries and lists with arrays in place of tensors."""
    if isinstance(found, Tensor):
        return found.array(values)
    if isinstance(found, dict):
        return {key: _arrays(value, values) for key, value in found.items()}
    return found

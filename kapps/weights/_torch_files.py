"""Reads PyTorch's files: a pickle and the bytes of its tensors, in the three layouts of `torch.save`.

Since PyTorch 1.6 they are the parts of a zip archive. Before that, they follow each other: three short pickles, the
content, the storages' names, and each storage with its size. Before PyTorch 0.1.10 the file was a tar archive, which
is not read. See torch/serialization.py. Tensors are read when the model needs them, one at a time.
"""

import functools
import io
import pathlib
import zipfile

import numpy as np

from kapps.weights import _pickle_reader, _zip_files
from kapps.weights._messages import printable
from kapps.weights._stored_array import StoredArray, widen_bfloat16

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""First values of a file before PyTorch 1.6."""
DEEPEST = 3
"""Dictionaries around a state dict."""
LARGEST_PICKLE = 2**24
"""Bytes: more than the pickle of a checkpoint of the largest network has."""


def read_archive(path: pathlib.Path) -> object:
    """Returns the content of a zip archive: nested dictionaries with `StoredArray` for tensors.

    Raises:
        UnsafePickleError: if the pickle names anything but dictionaries, tensors and trainers' settings.
        ValueError: if the file is not a file of PyTorch, or is incomplete or corrupt. A corrupt one may raise any other
            error too.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: part for part in archive.infolist()}
        pickles = [name for name in parts if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError(f"it has {len(pickles)} parts called data.pkl, and PyTorch's have one")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in parts:
            raise ValueError("it is a TorchScript archive; save the model's state_dict() instead")
        if parts.get(f"{root}byteorder") and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("it is not little-endian")
        if parts[pickles[0]].file_size > LARGEST_PICKLE:
            raise ValueError(f"its pickle has more than {LARGEST_PICKLE:,} bytes")
        content, storages = _pickle_reader.read(io.BytesIO(archive.read(pickles[0])))
    offsets = {}
    for key, storage in storages.items():
        part = parts.get(f"{root}data/{key}")
        if part is None or part.file_size != storage.numel * _item_size(storage):
            raise ValueError(f"the storage {printable(key)} does not have its declared size")
        if part.compress_type == zipfile.ZIP_STORED:
            offsets[key] = _zip_files.data_offset(path, part)

    @functools.cache
    def unpack(key):
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{root}data/{key}")

    def read_bytes(key, start, end):
        if key in offsets:
            return _read_range(path, offsets[key] + start, offsets[key] + end)
        return unpack(key)[start:end]

    return _with_arrays(content, read_bytes)


def read_sequence(path: pathlib.Path) -> object:
    """Returns the content of a file before PyTorch 1.6, as `read_archive` does."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = io.BytesIO(file.read(LARGEST_PICKLE))
    (magic, _), (protocol, _), (system, _) = (_pickle_reader.read(start) for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL) or system.get("little_endian") is not True:
        raise ValueError("it is a pickle, but not a file of PyTorch, or not little-endian")
    content, storages = _pickle_reader.read(start)
    keys, _ = _pickle_reader.read(start)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise ValueError("it does not list its storages")
    place, offsets = start.tell(), {}
    for key in keys:
        storage = storages[key]
        if int.from_bytes(_read_range(path, place, place + 8), "little") != storage.numel:
            raise ValueError(f"the storage {printable(key)} does not have its declared size")
        offsets[key] = place + 8
        place += 8 + storage.numel * _item_size(storage)
    if place != size:
        raise ValueError(f"its storages end at {place:,} bytes, and the file has {size:,}")

    def read_bytes(key, start, end):
        return _read_range(path, offsets[key] + start, offsets[key] + end)

    return _with_arrays(content, read_bytes)


def _read_range(path, start, end):
    with open(path, "rb") as file:
        file.seek(start)
        content = file.read(end - start)
    if len(content) != end - start:
        raise ValueError("it is incomplete")
    return content


def _item_size(storage):
    return 2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize


def _with_arrays(content, read_bytes):
    """Returns dictionaries, up to `DEEPEST` within each other, with arrays in place of tensors.

    A dictionary that has several places is converted once, so that the result is not larger than the content.
    """
    converted = {}

    def convert(value, depth):
        if isinstance(value, _pickle_reader.Tensor):
            return _stored_array(value, read_bytes)
        if not isinstance(value, dict) or depth > DEEPEST:
            return value
        if id(value) not in converted:
            converted[id(value)] = {key: convert(x, depth + 1) for key, x in value.items()}
        return converted[id(value)]

    return convert(content, 0)


def _stored_array(tensor, read_bytes):
    """Returns a tensor as an array; `read_bytes(key, start, end)` returns a range of the bytes of a storage."""
    storage, shape = tensor.storage, tensor.shape

    def read():
        if 0 in shape:
            return np.zeros(shape, "f4" if storage.dtype == "bfloat16" else storage.dtype)
        size = _item_size(storage)
        first = storage.offset + tensor.offset
        last = first + sum((n - 1) * step for n, step in zip(shape, tensor.strides, strict=True))
        content = read_bytes(storage.key, first * size, (last + 1) * size)
        values = np.frombuffer(content, "<u2" if storage.dtype == "bfloat16" else storage.dtype)
        strides = [step * size for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(values, shape, strides, writeable=False)
        return widen_bfloat16(view) if storage.dtype == "bfloat16" else view

    return StoredArray(shape, storage.dtype, read)

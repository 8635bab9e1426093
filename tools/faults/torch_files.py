"""Writes PyTorch's files without PyTorch: honest ones, and those that no `torch.save` writes.

`dump` writes a pickle, instruction by instruction, of dictionaries, lists, tuples, numbers, texts and of the objects
defined here. `archive`, `sequence` and `tar` write the three layouts of `torch.save`.
"""

import dataclasses
import io
import struct
import tarfile
import zipfile

import numpy as np

KINDS = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage", "complex64": "ComplexFloatStorage",
}  # fmt: skip
MAGIC = 0x1950A86A20F9469CFC6C


@dataclasses.dataclass(frozen=True)
class Name:
    """A function or class."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True)
class Call:
    """The result of a function for a tuple of arguments."""

    function: Name
    arguments: tuple


@dataclasses.dataclass(frozen=True)
class Persistent:
    """A reference to something outside the pickle."""

    identity: tuple


@dataclasses.dataclass(frozen=True)
class Raw:
    """Instructions as they are."""

    content: bytes


def dump(value) -> bytes:
    """Returns the pickle of a value, of protocol 2."""
    return b"\x80\x02" + _instructions(value) + b"."


def _instructions(value):
    if isinstance(value, Raw):
        return value.content
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8b" + struct.pack("<I", len(content)) + content
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(content)) + content
    if isinstance(value, (tuple, list)):
        items = b"(" + b"".join(map(_instructions, value))
        return items + b"t" if isinstance(value, tuple) else b"]" + items + b"e"
    if isinstance(value, dict):
        items = b"".join(_instructions(key) + _instructions(x) for key, x in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return _instructions(value.function) + _instructions(value.arguments) + b"R"
    if isinstance(value, Persistent):
        return _instructions(value.identity) + b"Q"
    raise TypeError(type(value))


class Tensors:
    """The tensors of one file: `add` returns what the pickle has for an array."""

    def __init__(self):
        self.storages = {}

    def add(self, array, **changes):
        """Returns the call that rebuilds a tensor.

        Args:
            array: NumPy array.
            **changes: other values of kind, numel, offset, size, stride, key, function, view.
        """
        array = np.ascontiguousarray(array)
        kind = changes.get("kind", array.dtype.name)
        key = changes.get("key", str(len(self.storages)))
        numel = changes.get("numel", array.size)
        if key not in self.storages:
            self.storages[key] = numel, _content(array, kind)
        stride = [step // array.itemsize for step in array.strides]
        identity = ("storage", Name("torch", KINDS.get(kind, kind)), key, "cpu", numel)
        identity += (changes["view"],) if "view" in changes else ()
        size, stride = changes.get("size", array.shape), changes.get("stride", tuple(stride))
        arguments = (Persistent(identity), changes.get("offset", 0), size, stride)
        function = changes.get("function", "_rebuild_tensor_v2")
        if function != "_rebuild_tensor":
            arguments += (False, Call(Name("collections", "OrderedDict"), ()))
        return Call(Name("torch._utils", function), arguments)


def _content(array, kind):
    """Returns the bytes of a storage."""
    if kind == "bfloat16":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return array.astype(kind).tobytes()


def archive(content, tensors: Tensors, *, compression=zipfile.ZIP_STORED, root="archive") -> bytes:
    """Returns a file as since PyTorch 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as parts:
        parts.writestr(f"{root}/data.pkl", content if isinstance(content, bytes) else dump(content))
        parts.writestr(f"{root}/byteorder", "little")
        for key, (_, storage) in tensors.storages.items():
            parts.writestr(f"{root}/data/{key}", storage)
        parts.writestr(f"{root}/version", "3\n")
    return file.getvalue()


def sequence(content, tensors: Tensors) -> bytes:
    """Returns a file as before PyTorch 1.6."""
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    parts = [dump(MAGIC), dump(1001), dump(system)]
    parts.append(content if isinstance(content, bytes) else dump(content))
    parts.append(dump(list(tensors.storages)))
    for numel, storage in tensors.storages.values():
        parts += [struct.pack("<q", numel), storage]
    return b"".join(parts)


def tar() -> bytes:
    """Returns a file as before PyTorch 0.1.10."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as parts:
        for name, data in (("storages", b""), ("tensors", b""), ("pickle", dump(None))):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            parts.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def state(arrays: dict[str, np.ndarray], tensors: Tensors, **changes) -> dict:
    """Returns the state dict of a file, {name: tensor}, with the changes of `Tensors.add` for each."""
    return {name: tensors.add(array, **changes) for name, array in arrays.items()}

"""Reads the pickles in PyTorch's files without PyTorch, and without executing code in them.

`pickletools` splits the pickle into instructions, and `read` carries out those that build dictionaries, lists, numbers
and texts. A pickle names functions and classes too. Those that make tensors are known here. Those of trainers' other
values, such as an `argparse.Namespace`, stand for a value without content. Any other name raises `UnsafePickleError`.
Nothing that a pickle names is imported or called.

Unlike Python's unpickler, this one needs memory only in proportion to the pickle. See torch/serialization.py.
"""

import dataclasses
import math
import pickletools
from typing import BinaryIO

from kapps.weights._messages import first_line, printable
from kapps.weights._pickle_names import (
    DICTIONARIES,
    PARAMETERS,
    STORAGES,
    TENSORS,
    Name,
    UnsafePickleError,
    find_name,
)

MOST_INSTRUCTIONS = 500_000
"""More than the pickle of a checkpoint of the largest network has, with the optimizer's state and averaged weights."""


@dataclasses.dataclass(frozen=True)
class Ignored:
    """A value without content, of a class that is not read."""

    name: str


@dataclasses.dataclass(frozen=True)
class Storage:
    """Values of a tensor or of several: `numel` of them from `offset`, in the storage called `key`."""

    key: str
    dtype: str
    numel: int
    offset: int = 0


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor, as a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """The place on the stack from which the next instruction takes all values."""


MARK = _Mark()


def read(file: BinaryIO) -> tuple[object, dict[str, Storage]]:
    """Reads one pickle from a file in memory, whose position is afterwards at the end of the pickle.

    Returns:
        The content, with `Tensor` for tensors, and {key: storage} of all storages. Dictionaries have only the keys
        that are texts.

    Raises:
        UnsafePickleError: if the pickle names anything but dictionaries, tensors and trainers' settings.
        ValueError: if it is incomplete or corrupt.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument) in enumerate(_instructions(file)):
            if count > MOST_INSTRUCTIONS:
                raise ValueError(f"its pickle has more than {MOST_INSTRUCTIONS:,} instructions")
            machine.step(opcode.name, argument)
        return machine.pop(), machine.storages
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("its pickle is corrupt") from error


def _instructions(file):
    """Yields (kind, argument) of a pickle's instructions."""
    instructions = pickletools.genops(file)
    while True:
        try:
            opcode, argument, _ = next(instructions)
        except StopIteration:
            return
        except ValueError as error:
            raise ValueError(f"its pickle is corrupt: {first_line(error)}") from error
        yield opcode, argument


class _Machine:
    """The pickle's stack and memo, with one method for each kind of instruction."""

    def __init__(self):
        self.stack, self.memo, self.storages = [], {}, {}

    def pop(self):
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("its pickle is corrupt")
        return value

    def pop_mark(self):
        """Removes all values from the last mark on, and returns them."""
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise ValueError("its pickle is corrupt")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def step(self, name, argument):
        """Carries out one instruction."""
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in TEXTS:
            stack.append(argument.encode("latin-1").decode("utf-8"))
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in PUT:
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in GET:
            stack.append(self.memo[argument])
        elif name == "MARK":
            stack.append(MARK)
        elif name in NEW:
            stack.append(NEW[name]())
        elif name in ("TUPLE", "LIST", "FROZENSET"):
            stack.append(tuple(self.pop_mark()) if name == "TUPLE" else self.pop_mark())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple([self.pop() for _ in range(int(name[-1]))][::-1]))
        elif name == "DICT":
            values = self.pop_mark()
            stack.append(_set_items({}, values))
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            values = [self.pop()] if name == "APPEND" else self.pop_mark()
            if isinstance(stack[-1], list):
                stack[-1].extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.pop_mark()
            if isinstance(stack[-1], dict):
                _set_items(stack[-1], values)
        elif name == "GLOBAL":
            stack.append(find_name(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            name, module = self.pop(), self.pop()
            stack.append(find_name(module, name))
        elif name in ("BINPERSID", "PERSID"):
            self._add_storage(self.pop() if name == "BINPERSID" else argument)
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self.pop(), self.pop()
            stack.append(_call(function, arguments))
        elif name == "NEWOBJ_EX":
            _, arguments, function = self.pop(), self.pop(), self.pop()
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            self.pop()
            if isinstance(stack[-1], (Tensor, Storage, Name)):
                raise ValueError("its pickle changes a tensor")
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self.pop_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in ("EXT1", "EXT2", "EXT4"):
            raise UnsafePickleError(f"the extension {argument}")
        elif name in ("INST", "OBJ"):
            raise UnsafePickleError(
                argument.replace(" ", ".") if argument else str(self.pop_mark()[0])
            )
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ValueError(f"its pickle has the instruction {name}")

    def _add_storage(self, identity):
        """Puts on the stack a storage: ("storage", type, key, device, number of values, view of another storage)."""
        word, kind, key, _, numel, *view = identity
        if word != "storage" or not isinstance(kind, Name) or not isinstance(key, str):
            raise ValueError("its pickle is corrupt")
        if kind.name not in STORAGES:
            raise UnsafePickleError(str(kind))
        if not _is_size(numel):
            raise ValueError("a storage has no size")
        storage = Storage(key, STORAGES[kind.name], numel)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError("two storages have one name")
        if view and view[0] is not None:
            _, offset, size = view[0]
            if not (_is_size(offset) and _is_size(size) and offset + size <= numel):
                raise ValueError("a tensor is outside its storage")
            storage = dataclasses.replace(storage, offset=offset, numel=size)
        self.stack.append(storage)


VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
"""Texts of Python 2, which `pickletools` decodes as Latin-1."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
GET = {"GET", "BINGET", "LONG_BINGET"}
NEW = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list}


def _set_items(dictionary, values):
    """Sets keys to values, which alternate. Keys other than texts cannot be those of weights and are left out."""
    if len(values) % 2:
        raise ValueError("its pickle is corrupt")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if isinstance(key, str):
            if key in dictionary:
                raise ValueError(f"it has two values of {printable(key)}")
            dictionary[key] = value
    return dictionary


def _call(function, arguments):
    """Returns what a function that a pickle names returns for a tuple of arguments."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise ValueError("its pickle is corrupt")
    if function.module == "torch._utils" and function.name in TENSORS:
        return _tensor(*arguments[:4])
    if function.module == "torch._utils" and function.name in PARAMETERS:
        return arguments[0]
    if str(function) == "torch.Size":
        return tuple(arguments[0])
    if function.module == "collections" and function.name in DICTIONARIES:
        pairs = arguments[0] if function.name == "OrderedDict" and arguments else []
        result = _set_items({}, [value for pair in pairs for value in (pair[0], pair[1])])
        if pairs:  # so that the same list is not copied again and again
            pairs.clear()
        return result
    return Ignored(str(function))


def _tensor(storage, offset, size, strides):
    """Returns a tensor, after a check that it is inside its storage."""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor has no storage")
    if not (isinstance(size, tuple) and isinstance(strides, tuple) and len(size) == len(strides)):
        raise ValueError("a tensor has no shape")
    if len(size) > 32 or not all(_is_size(value) for value in (offset, *size, *strides)):
        raise ValueError("a tensor is outside its storage")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, strides, strict=True))
    if (count and (last >= storage.numel or count > storage.numel)) or offset > storage.numel:
        raise ValueError("a tensor is outside its storage")
    if count and last - offset >= 16 * count + 2**16:
        raise ValueError("the values of a tensor are spread over a much larger storage")
    return Tensor(storage, offset, size, strides)


def _is_size(value):
    """Returns whether a value is a size that a file can have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48

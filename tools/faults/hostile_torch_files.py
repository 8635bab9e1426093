"""Kinds of PyTorch's and `.safetensors` files: honest ones as trainers leave them, hostile ones, and corrupt ones.

Each function takes a `Case` and returns a suffix and the content of a file. `KINDS` holds {name: (function,
expectation)}: "load" for a file that must load with its values, "error" for one that must not, "either" for one that
must not, or must load with the values that it holds.
"""

import dataclasses
import json
import pathlib
import random
import struct
import zipfile

import numpy as np
import torch_files
from torch_files import Call, Name, Persistent, Raw, Tensors, state

KINDS = {}
SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".pth.tar", ".th", ".pkl", "")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.")
KEYS = (
    "state_dict",
    "model_state_dict",
    "model",
    "state_dict_ema",
    "model_ema",
    "ema",
    "network",
    "params",
)


@dataclasses.dataclass
class Case:
    """What a kind makes a file of.

    Args:
        rng: of the case's choices.
        arrays: state dict of the model.
        honest: {suffix: path} of files that Keras and safetensors wrote.
        folder: for files.
    """

    rng: random.Random
    arrays: dict[str, np.ndarray]
    honest: dict[str, pathlib.Path]
    folder: pathlib.Path


def kind(expectation):
    """Returns a decorator that adds a function to `KINDS`."""

    def decorate(function):
        KINDS[function.__name__.removeprefix("_")] = function, expectation
        return function

    return decorate


def write(case, content, tensors, layout=None):
    """Returns a suffix and a file, of any layout that the case chooses."""
    layout = layout or case.rng.choice([torch_files.archive, torch_files.sequence])
    return case.rng.choice(SUFFIXES), layout(content, tensors)


@kind("load")
def _checkpoint_of_a_trainer(case):
    rng, tensors = case.rng, Tensors()
    prefix = "".join(rng.choice(PREFIXES) for _ in range(rng.randrange(3)))
    counters = {f"{name}.num_batches_tracked": np.array(7) for name in ("a", "b")}
    function = rng.choice(["_rebuild_tensor", "_rebuild_tensor_v2"])
    weights = {prefix + key: value for key, value in (case.arrays | counters).items()}
    content = state(weights, tensors, function=function)
    if rng.random() < 0.7:
        moments = {i: {"step": tensors.add(np.ones(3, "float32"))} for i in range(3)}
        args = Call(Name("argparse", "Namespace"), ())
        content = {
            rng.choice(KEYS): content,
            "optimizer": {"state": moments},
            "args": args,
            "epoch": 3,
        }
    return write(case, content, tensors)


@kind("load")
def _other_floats(case):
    dtype, tensors = case.rng.choice(["float16", "bfloat16", "float64"]), Tensors()
    return write(case, state(case.arrays, tensors, kind=dtype), tensors)


@kind("load")
def _views_of_storages(case):
    """As before PyTorch 0.4, where the pickle names a view of a storage."""
    tensors, content = Tensors(), {}
    for name, array in case.arrays.items():
        content[name] = tensors.add(
            array, view=("v" + name, 0, array.size), function="_rebuild_tensor"
        )
    return write(case, content, tensors, torch_files.sequence)


@kind("error")
def _other_types(case):
    dtype, tensors = (
        case.rng.choice(["complex64", "int64", "int32", "bool", "int8", "uint8"]),
        Tensors(),
    )
    return write(case, state(case.arrays, tensors, kind=dtype), tensors)


@kind("error")
def _not_finite(case):
    arrays, tensors = dict(case.arrays), Tensors()
    name = case.rng.choice(list(arrays))
    arrays[name] = arrays[name].astype("float64")
    arrays[name].flat[case.rng.randrange(arrays[name].size)] = case.rng.choice(
        [np.nan, np.inf, -np.inf, 1e300]
    )
    return write(case, state(arrays, tensors), tensors)


@kind("error")
def _tensor_outside_its_storage(case):
    rng, tensors = case.rng, Tensors()
    content = state(case.arrays, tensors)
    name = rng.choice([key for key, value in case.arrays.items() if value.size > 1])
    array = case.arrays[name]
    big = rng.choice([-1, 2**20, 2**31 - 1, 2**40, 2**62, 2**70, 2**4000])
    changes = [
        {"offset": big}, {"size": (*array.shape[:-1], big)}, {"stride": (big,) * array.ndim},
        {"numel": big}, {"size": (1,) * 1000, "stride": (0,) * 1000}, {"stride": ()}, {"size": "text"},
        {"view": ("v", big, 1)}, {"view": ("v", 0, big)},
    ]  # fmt: skip
    content[name] = tensors.add(array, **rng.choice(changes))
    return write(case, content, tensors)


@kind("error")
def _many_tensors_on_one_storage(case):
    tensors, values = Tensors(), np.zeros(2**20, "float32")
    number = case.rng.choice([1000, 5000])
    stride = case.rng.choice([1, 2**15])
    changes = {"size": (2**20 // stride,), "stride": (stride,), "key": "all"}
    content = {f"t{i}": tensors.add(values, **changes) for i in range(number)}
    for name in case.arrays:
        content[name] = content["t0"]
    return write(case, content, tensors)


@kind("error")
def _pickle_bomb(case):
    """Pickles for which Python's unpickler needs gigabytes, or never ends."""
    pairs = b"](" + b"(J\x01\x00\x00\x00X\x01\x00\x00\x00xt" * 5000 + b"e"
    rng = case.rng
    bombs = [
        b"Nr" + struct.pack("<I", rng.choice([2**28, 2**31, 2**32 - 1])),
        b"\x8e" + struct.pack("<Q", rng.choice([2**32, 2**40, 2**63])),
        b"\x8d" + struct.pack("<Q", rng.choice([2**32, 2**40])),
        b"\x96" + struct.pack("<Q", rng.choice([2**32, 2**40])),
        b"\x8b" + struct.pack("<I", 2**31 - 1),
        b"X" + struct.pack("<I", 2**32 - 1),
        b"I" + b"9" * 5_000_000 + b"\n",
        b"\x8b" + struct.pack("<I", 5_000_000) + b"\x7f" * 5_000_000,
        b"]" * 1_000_000,
        b"}" * 2_000_000,
        b"(" * 1_000_000,
        b"N" + b"\x85" * 1_000_000,
        b"}q\x00" + b"(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00uq\x00" * 50,
        b"ccollections\nOrderedDict\nq\x00" + pairs + b"q\x01" + b"h\x00h\x01\x85R0" * 20_000,
        b"N" + b"2\x86" * 400_000,
        b"}(" + b"".join(b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(60_000)) + b"u",
        b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"\x97", b"\x98",
        b"cnumpy\nzeros\n(J\x00\x00\x00\x7ftR",
        b"cbuiltins\nbytearray\n(J\x00\x00\x00\x7ftR",
        b"c__builtin__\nrange\n(J\x00\x00\x00\x7ftR",
        b"cos\nsystem\n(X\x04\x00\x00\x00truetR",
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR",
        b"(ios\nsystem\n", b"(cos\nsystem\no",
    ]  # fmt: skip
    tensors = Tensors()
    content = state(case.arrays, tensors) | {"x": Raw(rng.choice(bombs))}
    return write(case, content, tensors)


@kind("error")
def _nested_dictionaries_that_are_shared(case):
    """Each holds the former twice, so that a copy of all would be 2**60 tensors."""
    tensors = Tensors()
    tensor = torch_files._instructions(tensors.add(np.zeros(3, "float32")))
    inner = b"}X\x01\x00\x00\x00t" + tensor + b"sq\x00"
    keys = case.rng.sample(KEYS, 2)
    double = b"".join(
        b"0}(" + torch_files._instructions(keys[0]) + b"h" + bytes([i])
        + torch_files._instructions(keys[1]) + b"h" + bytes([i]) + b"uq" + bytes([i + 1])
        for i in range(60)
    )  # fmt: skip
    return write(case, b"\x80\x02" + inner + double + b".", tensors)


@kind("error")
def _strange_names(case):
    rng, tensors = case.rng, Tensors()
    name = rng.choice(
        [
            "",
            "\0",
            "\ud800",
            "a\n\x1b[2Jb",
            "k" * 5_000_000,
            "é" * 100,
            ".",
            "..",
            "\u202e",
            "module.",
        ]
    )
    content = state(case.arrays, tensors) | {name: tensors.add(np.zeros(3, "float32"))}
    if rng.random() < 0.5:
        content.pop(next(iter(content)))
    return write(case, content, tensors)


@kind("error")
def _colliding_names(case):
    rng, tensors = case.rng, Tensors()
    name = rng.choice(list(case.arrays))
    if rng.random() < 0.5:
        content = state(case.arrays, tensors)
        return write(case, b"\x80\x02}(" + 2 * b"".join(
            torch_files._instructions(x) for item in content.items() for x in item
        ) + b"u.", tensors)  # fmt: skip
    prefix = rng.choice(PREFIXES)
    content = state({prefix + key: value for key, value in case.arrays.items()}, tensors)
    return write(case, content | {name: tensors.add(case.arrays[name])}, tensors)


@kind("error")
def _not_a_state_dict(case):
    tensors = Tensors()
    tensor = tensors.add(np.zeros(3, "float32"))
    content = case.rng.choice(
        [[1, 2], {}, None, "text", 3, tensor, {"state_dict": 3}, {"model": Call(Name("my.module", "Net"), ())},
         {"state_dict": {"a": "b"}}, {"a": tensor, "b": 3}, {"state_dict": {"state_dict": {}}}, [tensor],
         {"x": Persistent(("module", Name("a", "B"), "s", "t"))}, {"x": Persistent(("storage",))}]
    )  # fmt: skip
    return write(case, content, tensors)


@kind("error")
def _classifier_of_millions(case):
    tensors = Tensors()
    content = state(case.arrays, tensors)
    *_, weight, bias = case.arrays
    rows = case.rng.choice([10**7, 10**9, 2**40])
    columns = case.arrays[weight].shape[1:]
    content[weight] = tensors.add(case.arrays[weight], size=(rows, *columns), numel=rows * 64)
    content[bias] = tensors.add(case.arrays[bias], size=(rows,), numel=rows)
    return write(case, content, tensors)


@kind("error")
def _old_tar_archive(case):
    return case.rng.choice(SUFFIXES), torch_files.tar()


@kind("load")
def _compressed_archive(case):
    tensors = Tensors()
    content = torch_files.archive(
        state(case.arrays, tensors), tensors, compression=zipfile.ZIP_DEFLATED
    )
    return case.rng.choice(SUFFIXES), content


@kind("either")
def _compressed_archive_with_a_flipped_bit(case):
    _, content = _compressed_archive(case)
    content = bytearray(content)
    content[case.rng.randrange(2000, len(content) - 5000)] ^= 1 << case.rng.randrange(8)
    return ".pth", bytes(content)


@kind("error")
def _safetensors_header(case):
    rng = case.rng
    content = case.honest[".safetensors"].read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    first, second = list(header)[:2]
    big = rng.choice([-1, 2**31, 2**40, 2**63, 2**64, 1.5, "1", None])
    change = rng.randrange(9)
    if change == 0:
        return ".safetensors", struct.pack("<Q", rng.choice([2**20, 2**40, 2**64 - 1])) + content[
            8:
        ]
    if change == 1:
        header[first]["data_offsets"] = header[second]["data_offsets"]
    elif change == 2:
        header[first]["dtype"] = rng.choice(["F4", "C64", "STR", "F8_E4M3", "", 3, None])
    elif change == 3:
        header[first]["shape"] = [big, *header[first]["shape"][1:]]
    elif change == 4:
        header[first]["data_offsets"] = [0, big]
    elif change == 5:
        header[rng.choice(["", "\0", "k" * 100_000, "\ud800", "a\nb"])] = header.pop(first)
    elif change == 6:
        header["extra"] = {
            "dtype": "F32",
            "shape": [10**7, 512],
            "data_offsets": [0, 4 * 512 * 10**7],
        }
    text = json.dumps(header).encode()
    if change == 7:
        text = text[:-1] + f", {json.dumps(second)}: {json.dumps(header[second])}}}".encode()
    if change == 8:
        text = rng.choice(
            [b"{" * 100_000, b'{"a":' * 100_000, b'{"a":[' + b"1," * 10**6, b"{}", b"{\xff}"]
        )
    return rng.choice([".safetensors", ".bin"]), struct.pack("<Q", len(text)) + text + data


@kind("error")
def _other_files(case):
    contents = [
        b"", b"PK", b"\x80", b"\x89HDF\r\n\x1a\n", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1",
        b"\x1f\x8b\x08" + bytes(100), b"TFL3", b"\0\0\0\0TFL3" + bytes(50), bytes(10**6), b"\x93NUMPY" + bytes(99),
        b"{}", b"\x80\x04\x95" + bytes(20), b"PK\x05\x06" + bytes(18), case.rng.randbytes(5000),
    ]  # fmt: skip
    suffix = case.rng.choice([*SUFFIXES, ".safetensors", ".h5", ".weights.h5", ".keras"])
    return suffix, case.rng.choice(contents)

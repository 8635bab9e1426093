"""A check of the arguments of public functions: by their annotations, and by their names where numbers have a range.

    @checked
    def cut_subsequences(corpus: np.ndarray, length: int, skip: int = 0): ...

A wrong value raises one line that names the argument. The error is a ValueError and a TypeError.
"""

import collections.abc
import functools
import inspect
import os
import types
import typing

from kapps._values import is_integer, is_number, short


class ArgumentError(ValueError, TypeError):
    """An argument of a wrong type or outside its range."""


MOST = 2**31 - 1
RANGES = {
    "filters": (1, 2**20), "groups": (1, 2**20), "units": (1, 2**20), "heads": (1, 2**16), "kernel_size": (1, 2**12),
    "batch": (1, 2**20), "batch_size": (1, 2**20), "beams": (1, 1024), "blanks": (1, 2**20), "buckets": (1, 2**10),
    "channels": (1, 2**12), "chunk": (1, MOST), "classes": (1, 2**24), "count": (1, MOST), "d_model": (1, 2**20),
    "digits": (1, 100), "epochs": (1, 10**6), "first": (1, MOST), "first_step": (0, 2**63 - 1), "frames": (1, 2**16),
    "input_frames": (1, 2**16), "key_dim": (1, 2**20), "num_heads": (1, 2**16), "output_dim": (1, 2**20),
    "dilation": (1, 2**12), "pool": (1, 2**16), "strides": (1, 2**12), "value_dim": (1, 2**20), "width": (1, 2**24),
    "interval": (1, MOST), "length": (1, 2**24), "limit": (1, MOST), "min_count": (1, MOST), "multiple": (1, 2**20),
    "n": (1, 100), "permutation_seed": (0, 2**63 - 1), "sample_count": (1, MOST), "seed": (0, 2**63 - 1),
    "sequences": (1, MOST), "shards": (1, 10**5), "side": (1, 2**14), "size": (1, 2**24), "skip": (0, MOST),
    "source_length": (1, 2**24), "steps": (1, 2**24), "steps_per_epoch": (1, 2**40), "threads": (1, 1024),
    "tokens": (1, 2**31), "top": (1, 2**24), "verbose": (0, 2), "warmup": (1, 2**40),
}  # fmt: skip
"""The least and the most of an integer, by the argument's name."""
NUMBERS = {
    "dropout": (0.0, 1.0), "held_out": (0.0, 1.0), "label_smoothing": (0.0, 0.999), "temperature": (0.0, 1e9),
    "mixup": (0.0, 1e3), "cutmix": (0.0, 1e3), "factor": (0.0, 1e9), "weight": (0.0, 1e9), "worker_timeout": (0.0, 1e9),
    "seconds": (0.0, 1e12), "length_penalty": (-1e3, 1e3),
}  # fmt: skip
"""The least and the most of a number, by the argument's name."""
INTERVALS = {"crop_area": 1.0, "crop_ratio": 100.0, "scale_range": 100.0}
"""The most of a pair (least, most) of positive numbers, by the argument's name."""


def checked(function, error: type[ArgumentError] = ArgumentError):
    """Returns a function that checks the arguments of `function` before it calls it, and raises `error`.

    Not for the `__init__` of Keras layers, whose own arguments Keras reads: call `check_argument` there.
    """
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__")
    kinds = {
        key: parameter.annotation
        for key, parameter in signature.parameters.items()
        if parameter.annotation is not parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as wrong:
            raise TypeError(f"{name}(): {wrong}") from None
        for key, value in bound.arguments.items():
            if key in kinds:
                check_argument(name, key, value, kinds[key], error)
        return function(*args, **kwargs)

    return call


def check_argument(
    function: str, name: str, value, annotation, error: type[ArgumentError] = ArgumentError
) -> None:  # fmt: skip
    """Raises `error` if a value does not have the kind of an annotation.

    Args:
        function: name of the function, for the error.
        name: of the argument.
        value: that was passed.
        annotation: of the argument. Kinds that are not known are not checked.
        error: the class of the error.
    """
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    texts = [_mismatch(name, value, option) for option in options]
    if None in texts:
        if name in INTERVALS and not 0 < value[0] <= value[1] <= INTERVALS[name]:
            raise error(
                f"{function}: {name}={short(value)} is not (least, most) of positive numbers up to {INTERVALS[name]:g}"
            )
        if name == "shard" and not 0 <= value[0] < value[1]:
            raise error(
                f"{function}: shard={short(value)} is not (index, number) with 0 <= index < number"
            )
        return
    allowed = " or ".join(dict.fromkeys(texts))
    raise error(f"{function}: {name}={short(value)} is not {allowed}")


def _is_union(annotation):
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def _mismatch(name, value, kind):
    """Returns None if a value has a kind, or the kind in words."""
    if kind is None or kind is types.NoneType:
        return None if value is None else "None"
    if kind is bool:
        return None if isinstance(value, bool) or _is_numpy_bool(value) else "True or False"
    if kind is int:
        least, most = RANGES.get(name, (-MOST, MOST))
        words = f"an integer from {least:,} to {most:,}" if name in RANGES else "an integer"
        if least == 1:
            words = f"a positive integer up to {most:,}"
        return None if is_integer(value, least, most) else words
    if kind is float:
        least, most = NUMBERS.get(name, (-float("inf"), float("inf")))
        words = f"a number from {least:g} to {most:g}" if name in NUMBERS else "a finite number"
        return None if is_number(value) and least <= value <= most else words
    if kind is str:
        return None if isinstance(value, str) and "\0" not in value else "a text without NUL"
    if typing.get_origin(kind) is os.PathLike or kind is os.PathLike:
        return None if isinstance(value, os.PathLike) else "a path"
    if typing.get_origin(kind) is tuple:
        return _tuple_mismatch(value, typing.get_args(kind))
    if getattr(kind, "__name__", "") == "ndarray":
        if isinstance(value, (list, tuple)) and value and all(map(is_number, value)):
            return None
        good = hasattr(value, "shape") and getattr(value, "dtype", None) is not None
        return None if good and _is_numeric(value) else "an array of numbers"
    if getattr(kind, "__module__", "") == "collections.abc":
        if typing.get_origin(kind) is collections.abc.Sequence:
            return _sequence_mismatch(value, typing.get_args(kind))
        return None if hasattr(value, "__len__") else "a sequence"
    if typing.get_origin(kind) is None and isinstance(kind, type):
        return None if isinstance(value, kind) else f"a {kind.__name__}"
    return None


def _sequence_mismatch(value, kinds):
    """Returns None if a value is a sequence of items of a kind, or the kind in words."""
    items = kinds[:1] if kinds and kinds[0] in (int, float, str, bytes) else ()
    text = f"a sequence of {_words(items[0])}" if items else "a sequence"
    if not hasattr(value, "__len__") or isinstance(value, (dict, set)):
        return text
    is_array = getattr(value, "dtype", None) is not None
    if not items or is_array or (isinstance(value, str) and str in items):
        return None
    return None if all(_mismatch("", item, items[0]) is None for item in value) else text


def _is_numeric(value):
    kind = getattr(value.dtype, "kind", None)
    return kind is None or kind in "biuf" or str(value.dtype) == "bfloat16"


def _is_numpy_bool(value):
    return type(value).__name__ in ("bool_", "bool") and getattr(value, "ndim", None) == 0


def _tuple_mismatch(value, kinds):
    """Returns None if a value is a tuple of the kinds, or the kinds in words."""
    items = kinds[:1] if kinds[-1:] == (...,) else kinds
    words = " and ".join(dict.fromkeys(_words(kind) for kind in items))
    count = "" if kinds[-1:] == (...,) else f"{len(kinds)} "
    text = f"a tuple of {count}{words}"
    if not isinstance(value, (tuple, list)) or (count and len(value) != len(kinds)):
        return text
    pairs = zip(value, kinds, strict=False) if count else ((item, kinds[0]) for item in value)
    for item, kind in pairs:
        options = typing.get_args(kind) if _is_union(kind) else (kind,)
        if all(_mismatch("", item, option) is not None for option in options):
            return text
    return None


def _words(kind):
    words = {int: "integers", float: "numbers", str: "texts", bytes: "bytes", bool: "True or False"}
    return words.get(kind, "values")

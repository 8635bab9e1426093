"""The arguments that all builders share, and checks of their values."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from kapps._names import nearest
from kapps._values import is_integer, short
from kapps.builders._options import MOST_TOKENS


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument of a builder.

    Args:
        name: name in the signature.
        default: default value.
        type: type, as the stub prints it.
        description: text of the docstring.
    """

    name: str
    default: Any
    type: str
    description: str


def name_argument(name: str) -> Argument:
    """Returns the argument `name`, whose default is the builder's name."""
    return Argument(
        "name",
        name,
        "str",
        "name of the model. If it is not the default, the names of all layers begin with it, as in\n"
        '            "left_stem_conv" for name="left", so that one model may contain several networks.',
    )


PORTABLE = Argument(
    "portable",
    False,
    "bool",
    "whether to use Keras's own layers only, so that a saved model loads without kapps.",
)
ALLOW_NAN = Argument(
    "allow_nan",
    False,
    "bool",
    "whether the weights of a file may be NaN or infinite.",
)
INCLUDE_TOP = Argument(
    "include_top",
    True,
    "bool",
    "whether the model ends in the classifier. Without it the model returns features.",
)


def input_shape_of(name: str, tensor, shape, default: tuple) -> tuple:
    """Returns the shape of an input without the batch: of the tensor, as passed, or the family's default."""
    if shape is not None:
        sizes = tuple(shape) if isinstance(shape, Iterable) and not isinstance(shape, str) else ()
        if not sizes or not all(size is None or is_integer(size) for size in sizes):
            raise ValueError(
                f"{name}: input_shape={short(shape)} is not a tuple of positive integers or None, such as {default}"
            )
        shape = tuple(None if size is None else int(size) for size in sizes)
    if tensor is None:
        return tuple(default if shape is None else shape)
    if not keras.utils.is_keras_tensor(tensor):
        raise ValueError(
            f"{name}: input_tensor={short(tensor)} is not a Keras tensor such as keras.Input returns"
        )
    tensor_shape = tuple(tensor.shape[1:])
    if shape is not None and shape != tensor_shape:
        raise ValueError(
            f"{name}: input_shape={shape} differs from the input_tensor's {tensor_shape}; pass one of them"
        )
    return tensor_shape


def check_positive(name: str, **values) -> None:
    """Raises ValueError for a number of classes or tokens that is not a positive integer."""
    for key, value in values.items():
        if not is_integer(value, 1, MOST_TOKENS):
            raise ValueError(
                f"{name}: {key}={short(value)} is not a positive integer up to {MOST_TOKENS:,}"
            )


def check_names(what: str, names: Iterable[str], allowed: Mapping | Iterable[str]) -> None:
    """Raises TypeError for a name that is not in `allowed`, with the nearest that is."""
    for name in names:
        if name not in allowed:
            raise TypeError(
                f"{what} has no argument {name!r}.{nearest(name, allowed)} Allowed: {', '.join(allowed)}"
            )

"""Padding of strided convolutions and poolings: on every side, or as TensorFlow's SAME.

With strides, the two differ wherever a map has an even side: TensorFlow then pads only on the right and bottom. A
network with trained weights computes what it was trained for only with the padding that it was trained with.
"""

import contextlib
import contextvars
from collections.abc import Iterator

from keras import layers

PADDINGS = ("symmetric", "same")
_EPSILON = {"same": 1e-3, "symmetric": 1e-5}
_padding = contextvars.ContextVar("padding", default="symmetric")


@contextlib.contextmanager
def strided_padding(padding: str) -> Iterator[None]:
    """Sets the padding of the strided layers that are built in this context.

    It applies to all strided windows of more than one pixel that are padded at all: `conv(..., padding="valid")` is
    not padded with either.

    Args:
        padding: "symmetric" (the layer's own padding, by default half of the window on every side) or "same"
            (TensorFlow's SAME).
    """
    token = _padding.set(padding)
    try:
        yield
    finally:
        _padding.reset(token)


def current_padding() -> str:
    """Returns the padding of the strided layers that are built now, "symmetric" or "same"."""
    return _padding.get()


def published_epsilon() -> float:
    """Returns the epsilon of batch norms by the padding in use: TensorFlow's code has 1e-3, PyTorch's 1e-5."""
    return _EPSILON[current_padding()]


def pad(x, size, strides, padding, name):
    """Returns x, padded by a layer where Keras cannot pad so itself, and the padding argument for Keras.

    Args:
        x: Keras tensor (batch, height, width, channels).
        size: side of the window, or (height, width).
        strides: step between two windows, or (vertical, horizontal).
        padding: as for `kapps.layers.conv`.
        name: of the layer that has the window. The padding layer is called `<name>_pad`.
    """
    height, width = (size, size) if isinstance(size, int) else size
    strides = strides if isinstance(strides, int) else max(strides)
    one_pixel = height == width == 1
    if isinstance(padding, str):
        return x, padding
    if strides > 1 and not one_pixel and current_padding() == "same":
        return x, "same"
    if padding is not None:
        sides = padding if isinstance(padding, tuple) else (padding, padding)
        return layers.ZeroPadding2D((sides, sides), name=f"{name}_pad")(x), "valid"
    if strides == 1 and height % 2 and width % 2:
        return x, "same"
    if not one_pixel:
        x = layers.ZeroPadding2D((height // 2, width // 2), name=f"{name}_pad")(x)
    return x, "valid"

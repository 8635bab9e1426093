"""Checks of the inputs of text generation: tokens, and the images or vectors of an encoder."""

import keras
import numpy as np

from kapps._arrays import as_array


def check_tokens(name, tokens, vocabulary) -> np.ndarray:
    """Returns tokens as int32 [batch, time], after a check of their kind, rank and range.

    Args:
        name: of the argument, for errors.
        tokens: integers [batch, time] or [time].
        vocabulary: the number of tokens, None if it is not known.
    """
    array = as_array(name, tokens)
    if array.size == 0:
        raise ValueError(f"{name} is empty; it has at least one token in each row")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} has tokens of dtype {array.dtype}; tokens are integers")
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} has the shape {array.shape}, not [batch, time] or [time]")
    most = 2**31 if vocabulary is None else vocabulary
    wrong = array[(array < 0) | (array >= most)]
    if wrong.size:
        raise ValueError(f"{name} has the token {wrong[0]}; tokens are from 0 to {most - 1:,}")
    return np.atleast_2d(array).astype("int32")


def convert_images(source, shape, dtype) -> np.ndarray:
    """Returns images or vectors as an encoder takes them, after a check of their kind and shape.

    Args:
        source: numbers [batch, ...].
        shape: the encoder's shape without the batch; None is any size.
        dtype: the encoder's dtype.
    """
    array = as_array("source", source)
    is_number = array.dtype.kind in "iuf" and array.size
    if not is_number or not fits(array.shape, shape):
        expected = ", ".join(["batch", *("any" if size is None else str(size) for size in shape)])
        raise ValueError(
            f"source has the shape {list(array.shape)} and the dtype {array.dtype}; the encoder takes numbers "
            f"[{expected}]"
        )
    return array.astype(keras.backend.standardize_dtype(dtype))


def fits(shape, expected):
    """Whether a shape with the batch is the expected one without the batch, in which None is any size."""
    return len(shape) == len(expected) + 1 and all(
        size in (None, actual) for size, actual in zip(expected, shape[1:], strict=True)
    )


def pad_source(source, steps):
    """Returns a source padded to a number of steps; None for no padding."""
    if steps is None:
        return source
    if source.shape[1] > steps and source[:, steps:].any():
        raise ValueError(
            f"the encoder reads {steps} tokens, but a source has {source.shape[1]}: build it with a larger "
            "source_length, or shorten the source"
        )
    return np.pad(source, ((0, 0), (0, max(0, steps - source.shape[1]))))[:, :steps]

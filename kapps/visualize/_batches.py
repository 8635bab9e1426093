"""Inputs in batches, as every function of what is inside a model processes them."""

import numpy as np
from keras import ops

from kapps._arrays import as_array

BATCH = 32
"""Number of images that are processed at a time."""


def check_images(model, images):
    """Returns images as a float32 array (batch, height, width, channels).

    Raises:
        ValueError: if they are not of the shape that the model takes.
    """
    images = as_array("images", images)
    if images.ndim != 4 or images.dtype.kind not in "fiu" or not len(images):
        raise ValueError(
            f"images of shape {images.shape} and dtype {images.dtype}: pass numbers (batch, height, width, channels)"
        )
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and len(shape) == 4:
        fits = all(
            size in (None, other) for size, other in zip(shape[1:], images.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"images of shape {images.shape[1:]}: {model.name} takes {shape[1:]} (height, width, channels)"
            )
    return images.astype("float32")


def class_rows(classes, count):
    """Returns classes with one row for each image; None for the predicted ones and for a function.

    Raises:
        ValueError: for a number of classes that does not fit.
    """
    if classes is None or callable(classes):
        return None
    rows = np.asarray(classes)
    if rows.ndim > 1 or rows.dtype.kind not in "iu" or len(np.atleast_1d(rows)) not in (1, count):
        raise ValueError(
            f"classes={classes!r}: pass one index for all images, or one for each of the {count}"
        )
    return np.broadcast_to(rows, count)


def in_batches(function, batch_size, *arrays):
    """Returns the results of a function on `batch_size` rows at a time, as one float32 array.

    Args:
        function: takes a part of each array; returns an array or tensor with as many rows.
        batch_size: number of rows.
        *arrays: arrays with equal numbers of rows; None is passed on as None.

    Raises:
        ValueError: for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: pass a number of 1 or more")
    count = len(next(array for array in arrays if array is not None))
    parts = []
    for start in range(0, count, batch_size):
        rows = [None if array is None else array[start : start + batch_size] for array in arrays]
        parts.append(ops.convert_to_numpy(function(*rows)).astype("float32"))
    return np.concatenate(parts)

"""Where a file's weights and a model may differ, and what becomes of them then.

- The classifier: a model with other classes than the published ones keeps the classifier that it was built with.
- The first kernel, of three channels: one channel takes the sum over the three; four take three quarters of the three
  and, for the fourth, of their mean. A grey image, all of its channels equal, then gives the same answer.
- What the model has no place for: the head without `include_top`, auxiliary classifiers.
Everything else that differs is refused.
"""

import contextlib
import inspect
import math

import numpy as np

HEADS = ("head_logits", "head_dense1", "head_dense2")
AUXILIARY = ("auxiliary1_logits", "auxiliary2_logits")
HEAD_VALUES = 2**27
"""Values that the largest head, VGG's, has, and some more."""


def assign(model, values, classes):
    """Gives a model's variables what a file has for them, all or none.

    Args:
        model: a `keras.Model` that a kapps builder made.
        values: (layer, variable, array, what a message calls it) for each variable of the model.
        classes: what the published files of the family have.

    Raises:
        ValueError: where an array does not fit; the model is left as it was.
    """
    first = first_kernel(model)
    fitting = []
    for layer, variable, array, what in values:
        shape = tuple(variable.shape)
        if layer is first and variable.name == "kernel":
            array = channels(array, shape)
        if array.shape == shape:
            fitting.append((variable, array))
        elif not _replaced(layer, array.shape, shape, classes):
            raise ValueError(f"{model.name}: {what}, which does not fit {variable.path} {shape}")
    for variable, array in fitting:
        variable.assign(array)


def first_kernel(model):
    """Returns the first layer that has a kernel, which the image's channels meet, or None."""
    return next(
        (layer for layer in model.layers if getattr(layer, "kernel", None) is not None), None
    )


def channels(kernel, shape):
    """Returns a first kernel (height, width, 3, filters) for images of one or four channels, if `shape` has those."""
    if len(shape) != 4 or kernel.ndim != 4 or kernel.shape[2] != 3 or shape[2] not in (1, 4):
        return kernel
    if shape[2] == 1:
        return kernel.sum(axis=2, keepdims=True)
    return 0.75 * np.concatenate([kernel, kernel.mean(axis=2, keepdims=True)], axis=2)


def _replaced(layer, given, wanted, classes):
    """Whether two shapes are those of a classifier of the published classes and of one of others."""
    return (
        (layer.name in HEADS[:1] or layer.name in AUXILIARY)
        and given[-1:] == (classes,)
        and given[:-1] == wanted[:-1]
    )


def beyond(model, name):
    """Returns how the other library's names of what the model has no place for begin.

    Args:
        model: a `keras.Model` that a kapps builder made.
        name: as for `kapps.weights.from_torch`.
    """
    ours = [layer.name for layer in model.layers]
    heads = () if "head_logits" in ours else HEADS
    found = []
    for layer in (*heads, *(each for each in AUXILIARY if each not in ours)):
        # A library or network without it.
        with contextlib.suppress(KeyError, AttributeError, ValueError):
            theirs = called(name, layer, ours)
            found.append(theirs if layer in heads else theirs.split(".")[0])
    return tuple(f"{each}." for each in found)


def called(name, layer, layers):
    """Returns the other library's name of a layer, by a function of it, or of it and of all our layers' names."""
    return name(layer, layers) if len(inspect.signature(name).parameters) == 2 else name(layer)


def room(model):
    """Returns how many values a file for this model may hold beside it."""
    headless = all(layer.name != "head_logits" for layer in model.layers)
    return sum(math.prod(variable.shape) for variable in model.weights) + headless * HEAD_VALUES

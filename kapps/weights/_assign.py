"""Assigns the arrays of a file to a model's variables, and decides where the two may differ.

- The classifier: a model with other classes than the pretrained weights keeps its initial classifier.
- The first kernel, of three channels: for images of one channel it is the sum over the three channels. For four
  channels it is three quarters of the three and of their mean. A grey image then gives the same output.
- Arrays that the model has no layers for: the head without `include_top`, and auxiliary classifiers.
Every other difference raises ValueError.
"""

import contextlib
import inspect
import math
import re

import keras
import numpy as np

from kapps._keras_compat import set_value
from kapps.model_record import prefixes, without_prefix

HEADS = ("head_logits", "head_dense1", "head_dense2")
AUXILIARY = ("auxiliary1_logits", "auxiliary2_logits")


def assign(model, values, classes, allow_nan=False):
    """Assigns arrays to a model's variables: all, or none if one does not fit.

    Args:
        model: a `keras.Model` that a kapps builder made.
        values: (layer, variable, array, description of the array for errors) for each variable of the model.
        classes: of the family's pretrained weights.
        allow_nan: whether NaN and infinite values are allowed.

    Raises:
        ValueError: if the shape or the kind of an array differs from its variable's, or a value is not finite. The
            model is not changed.
    """
    first = first_kernel(model)
    assignments = []
    for layer, variable, array, description in values:
        shape = tuple(variable.shape)
        if layer is first and variable.name == "kernel":
            array = adapt_channels(array, shape)
        if array.shape == shape:
            array = _to_type(array, variable, description, allow_nan)
            assignments.append((variable, array))
        elif not _is_other_classifier(layer, array.shape, shape, classes):
            raise ValueError(
                f"{model.name}: {description}, which does not fit {variable.path} {shape}"
            )
    for variable, array in assignments:
        set_value(variable, array)


def may_fit(model, layer, variable, size, classes):
    """Returns whether an array of `size` values can be one that `assign` accepts, so that others are not read."""
    shape, values = tuple(variable.shape), math.prod(variable.shape)
    if size == values:
        return True
    if layer is first_kernel(model) and variable.name == "kernel" and len(shape) == 4:
        return size * shape[2] == values * 3
    return _is_classifier(layer) and size * shape[-1] == values * classes


def _to_type(array, variable, description, allow_nan):
    """Returns an array in its variable's type, and raises ValueError for other kinds of numbers and values."""
    target = keras.backend.standardize_dtype(variable.dtype)
    kind, expected = (
        re.sub(r"\d+|^u|^b(?=float)", "", name) for name in (array.dtype.name, target)
    )
    if kind != expected:
        raise ValueError(f"{description} of {array.dtype.name}, and {variable.path} holds {target}")
    with np.errstate(over="ignore"):
        result = np.asarray(array, "float32" if target == "bfloat16" else target)
    if expected == "float" and not allow_nan and not np.isfinite(result).all():
        raise ValueError(
            f"{description} and has values that are NaN, infinite or too large for {target}; "
            "allow_nan=True allows them"
        )
    return result


def first_kernel(model):
    """Returns the first layer with a kernel, which reads the image, or None."""
    return next(
        (layer for layer in model.layers if getattr(layer, "kernel", None) is not None), None
    )


def adapt_channels(kernel, shape):
    """Returns a kernel (height, width, 3, filters) for images of one or four channels, if `shape` has those."""
    if len(shape) != 4 or kernel.ndim != 4 or kernel.shape[2] != 3 or shape[2] not in (1, 4):
        return kernel
    if shape[2] == 1:
        return kernel.sum(axis=2, keepdims=True)
    return 0.75 * np.concatenate([kernel, kernel.mean(axis=2, keepdims=True)], axis=2)


def _is_classifier(layer):
    """Returns whether a layer computes logits, with any name of its model before the layer's name."""
    names = "|".join((HEADS[0], *AUXILIARY, r"exit\d+_logits"))
    return re.search(rf"(^|_)({names})$", layer.name) is not None


def _is_other_classifier(layer, array_shape, shape, classes):
    """Returns whether the shapes are those of a classifier of the published classes and of one of other classes."""
    return (
        _is_classifier(layer) and array_shape[-1:] == (classes,) and array_shape[:-1] == shape[:-1]
    )


def unused_prefixes(model, name):
    """Returns the prefixes of the other library's names for what the model has no layers for.

    Args:
        model: a `keras.Model` that a kapps builder made.
        name: as for `kapps.weights.from_torch`.
    """
    layers = list(builder_names(model).values())
    heads = () if "head_logits" in layers else HEADS
    prefixes = []
    for layer in (*heads, *(layer for layer in AUXILIARY if layer not in layers)):
        # A library or network may not have the layer.
        with contextlib.suppress(KeyError, AttributeError, ValueError):
            other = other_name(name, layer, layers)
            prefixes.append(other if layer in heads else other.split(".")[0])
    return tuple(f"{prefix}." for prefix in prefixes)


def builder_names(model):
    """Returns {name of a layer: its name without the name of its model}, as the name maps expect it."""
    networks = prefixes(model)
    return {layer.name: without_prefix(layer.name, networks) for layer in model.layers}


def other_name(name, layer, layers):
    """Returns the other library's name of a layer, from a function of it, or of it and the names of all layers."""
    return name(layer, layers) if len(inspect.signature(name).parameters) == 2 else name(layer)

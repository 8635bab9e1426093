"""Converts weights between a PyTorch state dict, of NumPy arrays, and a model that is the same network."""

import math
from collections.abc import Callable

import keras
import numpy as np

from kapps._keras_compat import producer
from kapps.weights._assign import assign, builder_names, may_fit, other_name, unused_prefixes
from kapps.weights._messages import printable
from kapps.weights.published_padding import check_padding, library_padding

VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "scale": "",  # of LayerScale: the layer's name is the tensor's
    "edge_weights": "",  # of WeightedSum, likewise
    "displacement": "displacement",  # of ActiveShift, which no library has
}
"""PyTorch's names of Keras's variables."""
UNUSED = "num_batches_tracked"
"""A batch norm's number of steps, which Keras does not have."""


def from_torch(
    model: keras.Model,
    state: dict[str, np.ndarray],
    name: Callable[..., str],
    classes: int = 1000,
    *,
    padding: str | None = None,
    allow_nan: bool = False,
) -> None:
    """Copies every tensor of a state dict into the model.

    The classifier, the first kernel and the head may differ as `kapps/weights/_assign.py` describes.

    Args:
        model: a `keras.Model` that a kapps builder made.
        state: {name: array}.
        name: a function from a layer's name to the name in the other library, such as
            `kapps.weights.names.resnet.torchvision`. Where that name has a number that depends on the layers before
            it, the function takes the names of all layers as a second argument.
        classes: of the pretrained weights. A model with other classes keeps its initial classifier.
        padding: padding of the network that the weights were trained with, "symmetric" or "same"; None for that of
            the other library.
        allow_nan: whether NaN and infinite values are allowed.

    Raises:
        ValueError: if the model has another padding. The model is not changed.
        ValueError: if a tensor is missing, left over, has another shape or kind of numbers, or is not finite, with its
            name. The model is not changed.
    """
    check_padding(model, padding or library_padding(name))
    extra = {key for key in state if not key.endswith(UNUSED)}
    values = []
    for layer, variable, key in _pairs(model, name):
        if key not in extra:
            raise ValueError(f"{model.name}: the weights lack {key}, for {variable.path}")
        extra.remove(key)
        if not may_fit(model, layer, variable, math.prod(np.shape(state[key])), classes):
            raise ValueError(
                f"{model.name}: {key} is {np.shape(state[key])}, which does not fit {variable.path} "
                f"{tuple(variable.shape)}"
            )
        array = _to_keras(layer, variable.name, np.asarray(state[key]))
        values.append((layer, variable, array, f"{key} is {np.shape(state[key])}"))
    unused = unused_prefixes(model, name)
    extra = [key for key in extra if not key.startswith(unused)]
    if extra:
        raise ValueError(
            f"{model.name}: the weights hold {len(extra)} more tensors, such as {printable(min(extra))}"
        )
    assign(model, values, classes, allow_nan)


def to_torch(model: keras.Model, name: Callable[..., str]) -> dict[str, np.ndarray]:
    """Returns the model's weights as a state dict, {name: array}; arguments as for `from_torch`."""
    return {
        key: _to_torch(layer, variable.name, keras.ops.convert_to_numpy(variable))
        for layer, variable, key in _pairs(model, name)
    }


def state_dict_keys(model: keras.Model, name: Callable[..., str]) -> set[str]:
    """Returns the names in a state dict for the model, without the batch norms' numbers of steps."""
    return {key for *_, key in _pairs(model, name)}


def _pairs(model, name):
    """Yields (layer, variable, the variable's name in the other library)."""
    names = builder_names(model)
    layers = list(names.values())
    for layer in model.layers:
        for variable in layer.weights:
            parts = other_name(name, names[layer.name], layers), VARIABLES[variable.name]
            yield layer, variable, ".".join(filter(None, parts))


def _to_keras(layer, kind, array):
    """Returns an array with its axes in Keras's order."""
    if kind == "scale":  # (channels, 1, 1) in torchvision
        return array.reshape(-1)
    if kind != "kernel":
        return array
    if isinstance(layer, keras.layers.Dense):
        grid = _flattened(layer)
        if grid:  # PyTorch flattens (channels, height, width)
            height, width, channels = grid
            array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return array.reshape(len(array), -1).T
    if array.ndim == 2:  # a dense layer in PyTorch, a 1x1 convolution here
        array = array[:, :, None, None]
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return array.transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)


def _to_torch(layer, kind, array):
    """Returns an array with its axes in PyTorch's order; a 1x1 convolution is never converted to a dense layer."""
    if kind != "kernel":
        return array
    if isinstance(layer, keras.layers.Dense):
        grid = _flattened(layer)
        array = array.T
        if grid:
            array = array.reshape(-1, *grid).transpose(0, 3, 1, 2)
        return array.reshape(len(array), -1)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return array.transpose(2, 3, 0, 1) if depthwise else array.transpose(3, 2, 0, 1)


def _flattened(layer):
    """Returns the (height, width, channels) of the map that a dense layer reads flattened, or None."""
    node = producer(layer.input)
    while isinstance(node, keras.layers.Dropout):
        node = producer(node.input)
    return tuple(node.input.shape[1:]) if isinstance(node, keras.layers.Flatten) else None

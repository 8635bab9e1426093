"""Between a PyTorch state dict, as NumPy arrays, and a model of ours that is the same network."""

import keras
import numpy as np

from kapps._keras_compat import producer
from kapps.weights.fitting import assign, beyond, called

KINDS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""PyTorch's words for Keras's variables."""
UNUSED = "num_batches_tracked"
"""A batch norm's count of steps, which Keras does not keep."""


def from_torch(model, state, name, classes=1000):
    """Copies every tensor of a state dict into the model, but for what `kapps.weights.fitting` says.

    Args:
        model: a `keras.Model` that a kapps builder made.
        state: {name: array}.
        name: `name(our layer's name) -> the other library's`, such as `kapps.weights.names.resnet.torchvision`;
            where theirs is a number that depends on the layers before it, `name(name, names of all our layers)`.
        classes: of the published weights; a model with others keeps its classifier.

    Raises:
        ValueError: where a tensor is missing, left over or of another shape, with its name. The model is left
            as it was.
    """
    left = {key for key in state if not key.endswith(UNUSED)}
    values = []
    for layer, variable, key in _pairs(model, name):
        if key not in left:
            raise ValueError(f"{model.name}: the weights lack {key}, for {variable.path}")
        left.remove(key)
        array = _to_keras(layer, variable.name, np.asarray(state[key]))
        values.append((layer, variable, array, f"{key} is {np.shape(state[key])}"))
    spare = beyond(model, name)
    left = [key for key in left if not key.startswith(spare)]
    if left:
        raise ValueError(
            f"{model.name}: the weights hold {len(left)} tensors more, such as {min(left)}"
        )
    assign(model, values, classes)


def to_torch(model, name):
    """Returns the model's weights as a state dict, {name: array}; arguments as for `from_torch`."""
    return {
        key: _to_torch(layer, variable.name, keras.ops.convert_to_numpy(variable))
        for layer, variable, key in _pairs(model, name)
    }


def keys(model, name):
    """Returns the names that a state dict for the model has, without the steps that batch norms count."""
    return {key for *_, key in _pairs(model, name)}


def _pairs(model, name):
    """Yields (layer, variable, the other library's name of it)."""
    layers = [layer.name for layer in model.layers]
    for layer in model.layers:
        for variable in layer.weights:
            yield layer, variable, f"{called(name, layer.name, layers)}.{KINDS[variable.name]}"


def _to_keras(layer, kind, array):
    """Puts a tensor's axes in Keras's order."""
    if kind != "kernel":
        return array
    if isinstance(layer, keras.layers.Dense):
        grid = _flattened(layer)
        if grid:  # PyTorch flattens (channels, height, width)
            height, width, channels = grid
            array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return array.reshape(len(array), -1).T
    if array.ndim == 2:  # a dense layer there, a 1x1 convolution here
        array = array[:, :, None, None]
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return array.transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)


def _to_torch(layer, kind, array):
    """The reverse of `_to_keras`; what may be dense or 1x1 there comes out as Keras has it here."""
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
    """Returns the (height, width, channels) that a dense layer reads vectorised, or None."""
    node = producer(layer.input)
    while isinstance(node, keras.layers.Dropout):
        node = producer(node.input)
    return tuple(node.input.shape[1:]) if isinstance(node, keras.layers.Flatten) else None

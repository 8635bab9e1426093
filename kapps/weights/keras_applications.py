"""Converts weights between a network of Keras Applications and a model that is the same network.

Two things differ there, and the values make up for them. A convolution before a batch norm may have a bias, which is
subtracted from the moving mean here. A batch norm may have no scale, which multiplies the kernel before it there.
"""

import re
from collections.abc import Callable

import keras
import numpy as np

from kapps.weights._assign import assign, builder_names, first_kernel, other_name, unused_prefixes
from kapps.weights.published_padding import check_padding, library_padding

AUTOMATIC = r"(conv2d|batch_normalization)(?:_(\d+))?"
"""Names that Keras generates, with numbers that continue from one network to the next."""


def named_layers(network: keras.Model) -> dict[str, keras.Layer]:
    """Returns {name: layer} of a network of Keras Applications, with automatic names numbered from 1."""
    named = {layer.name: layer for layer in network.layers if layer.weights}
    for kind in ("conv2d", "batch_normalization"):
        numbers = {
            int(match[2] or 0): match[0]
            for match in (re.fullmatch(AUTOMATIC, name) for name in list(named))
            if match and match[1] == kind
        }
        renamed = {
            numbers[number]: f"{kind}:{i}" for i, number in enumerate(sorted(numbers), start=1)
        }
        named = {renamed.get(name, name): layer for name, layer in named.items()}
    return named


def named_arrays(network: keras.Model) -> dict[str, list[np.ndarray]]:
    """Returns {layer's name: its arrays} of a network of Keras Applications, with the names of `named_layers`."""
    return {name: layer.get_weights() for name, layer in named_layers(network).items()}


def from_keras(
    model: keras.Model,
    state: dict[str, list[np.ndarray]],
    name: Callable[..., str],
    *,
    blue_first: bool = False,
    classes: int = 1000,
    allow_nan: bool = False,
) -> None:
    """Copies the weights of a network of Keras Applications into the model.

    The classifier, the first kernel and the head may differ as `kapps/weights/_assign.py` describes.

    Args:
        model: a `keras.Model` that a kapps builder made.
        state: {layer's name: its arrays}, as `named_arrays` returns.
        name: a function from a layer's name to the name in Keras Applications, such as
            `kapps.weights.names.resnet.keras`; it may take the names of all layers as a second argument.
        blue_first: whether the network's images have blue first. The channels of the first kernel are then reversed,
            since the images of all kapps models have red first.
        classes: of the pretrained weights. A model with other classes keeps its initial classifier.
        allow_nan: whether NaN and infinite values are allowed.

    Raises:
        ValueError: if the model has another padding than that network. The model is not changed.
        ValueError: if an array is missing, left over, has another shape or is not finite. The model is not changed.
    """
    check_padding(model, library_padding(name))
    extra, values, biases, first = set(state), [], {}, first_kernel(model)
    for layer, other in _pairs(model, name):
        if other not in state:
            raise ValueError(f"{model.name}: the weights lack {other}, for {layer.name}")
        extra.discard(other)
        arrays = _to_variables(layer, list(state[other]), biases)
        if blue_first and layer is first:
            arrays["kernel"] = arrays["kernel"][:, :, ::-1]
        for variable in layer.weights:
            if variable.name not in arrays:
                raise ValueError(f"{model.name}: {other} has no {variable.name}, for {layer.name}")
            array = arrays[variable.name]
            values.append((layer, variable, array, f"{other}'s {variable.name} is {array.shape}"))
    unused = unused_prefixes(model, name)
    extra = [layer for layer in extra if not f"{layer}.".startswith(unused)]
    if extra:
        raise ValueError(
            f"{model.name}: the weights hold {len(extra)} more layers, such as {min(extra)}"
        )
    if biases:
        raise ValueError(f"{model.name}: {min(biases)} has no bias, and no batch norm after it")
    assign(model, values, classes, allow_nan)


def _to_variables(layer, arrays, biases):
    """Returns {variable's name: array} of one layer, and adds to `biases` a bias that the layer does not have."""
    kernels = [array for array in arrays if array.ndim > 1]
    vectors = [array for array in arrays if array.ndim == 1]
    if isinstance(layer, keras.layers.BatchNormalization):
        gamma = vectors.pop(0) if len(vectors) == 4 else np.ones_like(vectors[0])
        beta, mean, variance = vectors
        mean = mean - biases.pop(layer.name.removesuffix("_bn"), 0)
        return {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    if vectors and not layer.use_bias:
        biases[layer.name] = vectors.pop()
    # A separable convolution has two kernels: the depthwise and the pointwise one.
    kernel = kernels[0 if isinstance(layer, keras.layers.DepthwiseConv2D) else -1]
    if isinstance(
        layer, keras.layers.Dense
    ):  # the classifier of MobileNet is a 1x1 convolution there
        kernel = kernel.reshape(kernel.shape[-2:])
    return {"kernel": kernel, **({"bias": vectors[0]} if vectors else {})}


def to_keras(
    model: keras.Model,
    name: Callable[..., str],
    like: dict[str, list[np.ndarray]],
    *,
    blue_first: bool = False,
) -> dict[str, list[np.ndarray]]:
    """Returns the model's weights in the form of a network of Keras Applications: {layer's name: its arrays}.

    Args:
        model: a `keras.Model` that a kapps builder made.
        name: as for `from_keras`.
        like: the result of `named_arrays` for that network. Its values are not used.
        blue_first: as for `from_keras`.
    """
    first = first_kernel(model)
    variables = {
        layer.name: {
            variable.name: keras.ops.convert_to_numpy(variable) for variable in layer.weights
        }
        for layer in model.layers
    }
    state = {other: list(arrays) for other, arrays in like.items()}
    others = {layer.name: other for layer, other in _pairs(model, name)}
    for layer, other in _pairs(model, name):
        values, arrays = variables[layer.name], state[other]
        if isinstance(layer, keras.layers.BatchNormalization):
            order = ["gamma", "beta", "moving_mean", "moving_variance"]
            if len(arrays) == 3:  # its scale is in the kernel
                values["moving_mean"] = values["moving_mean"] * values["gamma"]
            state[other] = [values[key] for key in order[-len(arrays) :]]
            continue
        kernel = values["kernel"]
        norm = f"{layer.name}_bn"
        if norm in variables and len(like[others[norm]]) == 3:
            kernel = kernel * variables[norm]["gamma"]
        if blue_first and layer is first:
            kernel = kernel[:, :, ::-1]
        if isinstance(layer, keras.layers.Dense):
            kernel = kernel.reshape(arrays[0].shape)
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernels = [i for i, array in enumerate(arrays) if array.ndim > 1]
        arrays[kernels[0 if depthwise else -1]] = kernel
        if arrays[-1].ndim == 1:
            arrays[-1] = values.get("bias", np.zeros_like(arrays[-1]))
    return state


def _pairs(model, name):
    """Yields (layer, its name in Keras Applications)."""
    names = builder_names(model)
    layers = list(names.values())
    for layer in model.layers:
        if layer.weights:
            yield layer, other_name(name, names[layer.name], layers)

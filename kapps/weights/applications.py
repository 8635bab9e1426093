"""Between a network of Keras Applications and a model of ours that is the same one.

Two things are written otherwise there, and are made up for in values: a convolution before a batch norm may have a
bias, which its moving mean takes here, and a batch norm may have no scale, which the kernel before it takes there.
"""

import re

import keras
import numpy as np

from kapps.weights.fitting import assign, beyond, called, first_kernel

AUTOMATIC = r"(conv2d|batch_normalization)(?:_(\d+))?"
"""Names that Keras gives; it counts on from network to network."""


def layers(network):
    """Returns {name: layer} of a network of Keras Applications, automatic names counted from 1."""
    found = {layer.name: layer for layer in network.layers if layer.weights}
    for kind in ("conv2d", "batch_normalization"):
        numbers = {
            int(match[2] or 0): match[0]
            for match in (re.fullmatch(AUTOMATIC, name) for name in list(found))
            if match and match[1] == kind
        }
        renamed = {
            numbers[number]: f"{kind}:{i}" for i, number in enumerate(sorted(numbers), start=1)
        }
        found = {renamed.get(name, name): layer for name, layer in found.items()}
    return found


def arrays(network):
    """Returns {layer's name: its arrays} of a network of Keras Applications, named as by `layers`."""
    return {name: layer.get_weights() for name, layer in layers(network).items()}


def from_keras(model, state, name, *, blue_first=False, classes=1000):
    """Copies the weights of a network of Keras Applications into the model, but for what `kapps.weights.fitting` says.

    Args:
        model: a `keras.Model` that a kapps builder made.
        state: {layer's name: its arrays}, as `arrays` gives them.
        name: `name(our layer's name) -> theirs`, such as `kapps.weights.names.resnet.keras`, or `name(name, names of
            all our layers)`.
        blue_first: whether that network's images have blue first; the first kernel is turned round, so that the
            model's have red first, as all have here.
        classes: of the published weights; a model with others keeps its classifier.

    Raises:
        ValueError: where an array is missing, left over or of another shape. The model is left as it was.
    """
    left, values, biases, first = set(state), [], {}, first_kernel(model)
    for layer, theirs in _pairs(model, name):
        if theirs not in state:
            raise ValueError(f"{model.name}: the weights lack {theirs}, for {layer.name}")
        left.discard(theirs)
        given = _given(layer, list(state[theirs]), biases)
        if blue_first and layer is first:
            given["kernel"] = given["kernel"][:, :, ::-1]
        for variable in layer.weights:
            if variable.name not in given:
                raise ValueError(f"{model.name}: {theirs} has no {variable.name}, for {layer.name}")
            array = given[variable.name]
            values.append((layer, variable, array, f"{theirs}'s {variable.name} is {array.shape}"))
    spare = beyond(model, name)
    left = [each for each in left if not f"{each}.".startswith(spare)]
    if left:
        raise ValueError(
            f"{model.name}: the weights hold {len(left)} layers more, such as {min(left)}"
        )
    if biases:
        raise ValueError(f"{model.name}: {min(biases)} has no bias, and no batch norm after it")
    assign(model, values, classes)


def _given(layer, theirs, biases):
    """Returns {our variable's name: array} of one layer; keeps in `biases` those that we have no place for."""
    kernels = [each for each in theirs if each.ndim > 1]
    vectors = [each for each in theirs if each.ndim == 1]
    if isinstance(layer, keras.layers.BatchNormalization):
        gamma = vectors.pop(0) if len(vectors) == 4 else np.ones_like(vectors[0])
        beta, mean, variance = vectors
        mean = mean - biases.pop(layer.name.removesuffix("_bn"), 0)
        return {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    if vectors and not layer.use_bias:
        biases[layer.name] = vectors.pop()
    # A separable convolution has two: of each channel, and across them.
    kernel = kernels[0 if isinstance(layer, keras.layers.DepthwiseConv2D) else -1]
    return {"kernel": kernel, **({"bias": vectors[0]} if vectors else {})}


def to_keras(model, name, like, *, blue_first=False):
    """Returns the model's weights as a network of Keras Applications has them: {layer's name: its arrays}.

    Args:
        model: a `keras.Model` that a kapps builder made.
        name: as for `from_keras`.
        like: what `arrays` gives of that network; its values do not matter.
        blue_first: as for `from_keras`.
    """
    first = first_kernel(model)
    own = {layer.name: _own(layer) for layer in model.layers}
    found = {theirs: list(given) for theirs, given in like.items()}
    for layer, theirs in _pairs(model, name):
        given, place = own[layer.name], found[theirs]
        if isinstance(layer, keras.layers.BatchNormalization):
            names = ["gamma", "beta", "moving_mean", "moving_variance"]
            if len(place) == 3:  # its scale is in the kernel
                given["moving_mean"] = given["moving_mean"] * given["gamma"]
            found[theirs] = [given[each] for each in names[-len(place) :]]
            continue
        kernel = given["kernel"]
        norm = own.get(f"{layer.name}_bn")
        norm_there = f"{layer.name}_bn" in own and like[called(name, f"{layer.name}_bn", list(own))]
        if norm and len(norm_there) == 3:
            kernel = kernel * norm["gamma"]
        if blue_first and layer is first:
            kernel = kernel[:, :, ::-1]
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernels = [i for i, each in enumerate(place) if each.ndim > 1]
        place[kernels[0 if depthwise else -1]] = kernel
        if place[-1].ndim == 1:
            place[-1] = given.get("bias", np.zeros_like(place[-1]))
    return found


def _own(layer):
    return {each.name: keras.ops.convert_to_numpy(each) for each in layer.weights}


def _pairs(model, name):
    """Yields (layer, the other network's name of it)."""
    ours = [layer.name for layer in model.layers]
    for layer in model.layers:
        if layer.weights:
            yield layer, called(name, layer.name, ours)

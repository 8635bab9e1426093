"""Copies of a model in which the layers of one class are others."""

from collections.abc import Callable

import keras
import numpy as np

from kapps._keras_compat import all_layers
from kapps.layers import copy_values


def has_layers(model: keras.Model, kind: type) -> bool:
    """Returns whether a layer of the model, or of a model inside it, is of a class."""
    return any(isinstance(layer, kind) for layer in all_layers(model))


def replace_layers(
    model: keras.Model, kind: type, make: Callable, weights: Callable[..., list[np.ndarray]]
) -> keras.Model:
    """Returns a copy of a functional model whose layers of a class are others, also in models inside it.

    Args:
        model: the model; it is not changed.
        kind: class of the layers.
        make: returns the layer in the place of a layer, of the same name.
        weights: returns the values of that layer's weights, from the layer that it replaces.
    """

    def copy_layer(layer):
        if isinstance(layer, keras.Model):
            return replace_layers(layer, kind, make, weights)
        return (
            make(layer) if isinstance(layer, kind) else type(layer).from_config(layer.get_config())
        )

    copy = keras.models.clone_model(model, clone_function=copy_layer)
    for layer in model.layers:
        if isinstance(layer, keras.Model) or not layer.weights:
            continue
        target = copy.get_layer(layer.name)
        if isinstance(layer, kind):
            target.set_weights(weights(layer))
        else:
            copy_values(layer, target)
    return copy

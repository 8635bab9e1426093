"""Portable copies of models, in Keras's own layers only."""

import keras

from kapps._checked import checked
from kapps._keras_compat import all_layers


@checked
def to_keras_layers(model: keras.Model) -> keras.Model:
    """Returns the model rebuilt in Keras's own layers, with copies of its weights.

    A saved copy loads where kapps is not installed. It trains as slowly as Keras's layers where kapps has faster ones,
    such as `GroupedConv2D`.

    Raises:
        ValueError: if Keras has no counterpart of a layer or a cell.
    """
    if (
        getattr(model, "inputs", None) is None
    ):  # a Sequential model that is not built raises AttributeError
        raise ValueError(f"{model.name} is not built yet; call it on an image first")
    portable = keras.models.clone_model(model, clone_function=_to_keras_layer)
    custom = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in all_layers(portable, include_self=False)
        if not type(layer).__module__.startswith("keras.")
    ]
    if custom:
        raise ValueError(
            f"{model.name} cannot be built of Keras's own layers: Keras has no counterpart of {custom[0]}"
        )
    for layer in model.layers:
        if hasattr(layer, "keras_weights"):  # Keras's layer has other weights
            portable.get_layer(layer.name).set_weights(layer.keras_weights())
        elif layer.weights:
            copy_values(layer, portable.get_layer(layer.name))
    return portable


def copy_values(source, target) -> None:
    """Copies the weights of a layer or model to another one that has the same weights in the same order."""
    target.set_weights(source.get_weights())
    for layer in all_layers(target):  # nested layers too
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with values derived from its weights


def _to_keras_layer(layer):
    if hasattr(layer, "to_keras_layers"):
        return layer.to_keras_layers()
    if isinstance(layer, keras.layers.Bidirectional):
        config = layer.get_config()
        directions = {"layer": layer.forward_layer, "backward_layer": layer.backward_layer}
        for name, direction in directions.items():
            config[name] = keras.saving.serialize_keras_object(_to_keras_layer(direction))
        return type(layer).from_config(config)
    return layer.__class__.from_config(layer.get_config())

"""The same model once more: in Keras's own layers, with the values of another."""

import keras

from kapps._keras_compat import all_layers


def to_keras_layers(model):
    """Returns the model rebuilt with Keras's own layers only, its weights copied.

    What it saves loads where kapps is not installed. The price: a grouped convolution goes Keras's way again.

    Raises:
        ValueError: for a layer or a cell that Keras has no counterpart of.
    """
    if getattr(model, "inputs", None) is None:  # a Sequential that is not built raises
        raise ValueError(f"{model.name} is not built yet; call it on an image first")
    twin = keras.models.clone_model(model, clone_function=_stock_layer)
    own = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in all_layers(twin, include_self=False)
        if not type(layer).__module__.startswith("keras.")
    ]
    if own:
        raise ValueError(
            f"{model.name} cannot be built of Keras's own layers alone: there is none like {own[0]}"
        )
    for layer in model.layers:
        if not layer.weights:
            continue
        target = twin.get_layer(layer.name)
        if hasattr(layer, "stock_weights"):  # Keras's own layer computes with other ones
            target.set_weights(layer.stock_weights())
        else:
            copy_values(layer, target)
    return twin


def copy_values(source, target):
    """Gives a layer or model the values of another one's weights; both have the same, in the same order."""
    target.set_weights(source.get_weights())
    for layer in all_layers(target):  # those that layers are made of too
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with what it made of its weights earlier


def _stock_layer(layer):
    return (
        layer.to_keras_layers()
        if hasattr(layer, "to_keras_layers")
        else layer.__class__.from_config(layer.get_config())
    )

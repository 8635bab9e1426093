"""Layers that are faster forms of Keras's: the same arguments, weights, files and values."""

from collections.abc import Callable

import keras


def faster_form_of(original: type[keras.layers.Layer]) -> Callable[[type], type]:
    """Returns a decorator for a subclass of one of Keras's layers that computes the same values.

    The class is registered under its own name. `kapps.profile` counts it as the original, `to_keras_layers` returns the
    original, and the weights files of both are interchangeable.
    """

    def to_keras_layers(self):
        """Returns the layer of Keras with the same configuration."""
        return original.from_config(self.get_config())

    def decorate(layer_class):
        keras.saving.register_keras_serializable("kapps")(layer_class)
        layer_class.profile_as = original
        layer_class.to_keras_layers = to_keras_layers
        layer_class.__name__ = original.__name__  # a weights file names a layer by its class
        return layer_class

    return decorate

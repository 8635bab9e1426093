"""What is kept with a model between calls: compiled functions, shapes and the place of its logits."""

from kapps._keras_compat import all_layers
from kapps.layers.recomputation import compiled

LARGE = 2**20
"""Numbers in all inputs of a call from which a function is compiled: seven images of 224 x 224 x 3.

For ResNet-50 the compilation takes about the time of the gradient of so many images.
"""
ATTRIBUTE = "__kapps_visualize__"  # Keras does not save attributes that begin with two underscores


def stored_result(model, key, make):
    """Returns `make()`, or its result of an earlier call with an equal key and the same activations of all layers."""
    results = model.__dict__.get(ATTRIBUTE)
    if results is None:
        results = {}
        object.__setattr__(model, ATTRIBUTE, results)  # Keras would track the values
    activations = [getattr(layer, "activation", None) for layer in all_layers(model)]
    key = (*key, *map(id, activations))
    if key not in results:
        results[key] = make(), activations  # kept too, so that no other object gets the id
    return results[key][0]


def compiled_if_large(model, key, function, size):
    """Returns a function of tensors, which is compiled if `size` is not below `LARGE`.

    Args:
        model: the model that the function calls.
        key: a tuple that stands for the function in later calls; None if it is not kept.
        function: of tensors.
        size: number of numbers in all inputs.
    """
    if size < LARGE:
        return function
    if key is None:
        return compiled(function, model.variables)
    return stored_result(model, key, lambda: compiled(function, model.variables))

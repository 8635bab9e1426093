"""Packs binary kernels to one bit a weight (Rastegari 2016, arXiv:1603.05279)."""

import operator

import keras

from kapps._checked import checked
from kapps.export._replacement import has_layers, replace_layers
from kapps.layers import BinaryConv2D


@checked
def pack(model: keras.Model) -> keras.Model:
    """Returns a copy of `model` for inference whose binary kernels have one bit a weight.

    Each `kapps.layers.BinaryConv2D` becomes a `PackedBinaryConv2D`, with a float32 scale for each filter; all other
    layers and all names are the same, and the outputs are equal. A file of the copy (`pack(model).save("net.keras")`)
    is read by `kapps.training.load_model` after the same checks as any other `.keras` file.
    `kapps.export.saved_model` packs binary kernels by itself.

    Args:
        model: a built functional or sequential model. Models inside it are packed too.

    Raises:
        ValueError: for a model that is not a graph of layers, or has no binary kernel.
    """
    if not hasattr(model, "operations") and isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not hasattr(model, "operations"):
        raise ValueError(
            f"{model.name} is not a built functional or sequential model, so there is no graph to pack"
        )
    if not has_layers(model, BinaryConv2D):
        raise ValueError(
            f"{model.name} has no binary kernel to pack: pass a model with kapps.layers.BinaryConv2D"
        )
    return replace_binary_kernels(model, packed=True)


def replace_binary_kernels(model: keras.Model, packed: bool) -> keras.Model:
    """Returns a copy of a functional model whose binary kernels are constant.

    Args:
        model: the model.
        packed: whether they have one bit a weight; if not, the layers are Keras's own, with float kernels of two values
            a filter.
    """
    names = ("to_packed", "packed_weights") if packed else ("to_keras_layers", "keras_weights")
    return replace_layers(model, BinaryConv2D, *map(operator.methodcaller, names))

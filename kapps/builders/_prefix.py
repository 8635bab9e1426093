"""Names of layers that begin with the name of their network, so that one model may contain several networks."""

import keras

from kapps._keras_compat import run_through_graph
from kapps.layers import copy_values


def with_prefix(model: keras.Model, prefix: str, inputs: list, copy: bool):
    """Returns the outputs of a network whose layers are those of `model` with other names.

    A variable keeps the name that its layer had when it was built, so the layers are built again.

    Args:
        model: a functional model.
        prefix: what the names begin with.
        inputs: Keras tensors for the inputs of the model.
        copy: whether the new layers get the weights of the old ones, or random ones.
    """
    renamed = {}

    def call(layer, *args, **kwargs):
        if id(layer) not in renamed:
            config = {**layer.get_config(), "name": f"{prefix}{layer.name}"}
            renamed[id(layer)] = layer, type(layer).from_config(config)
        return renamed[id(layer)][1](*args, **kwargs)

    outputs = run_through_graph(model, inputs, call)
    for layer, new in renamed.values():
        if copy and getattr(layer, "weights", None):
            copy_values(layer, new)
    return keras.tree.pack_sequence_as(model.output, outputs)


def own_inputs(tensors: list) -> list:
    """Returns new Keras tensors of the same shapes, to build a network that is then built again with other names."""
    return [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name.replace("/", "_"))
        for x in tensors
    ]


def source_inputs(tensors):
    """Returns the inputs that Keras tensors are computed from."""
    sources = [source for x in tensors for source in keras.utils.get_source_inputs(x)]
    return list({id(source): source for source in sources}.values())

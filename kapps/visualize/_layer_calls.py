"""The calls of a model's layers on values: their names, their outputs, and changes of them.

Calls are followed as they run, so that nested models, layers with several calls and subclassed models need no graph.
Calls inside recurrent layers are not followed.
"""

import collections
import dataclasses
from typing import Any

import keras

from kapps._names import nearest
from kapps.analysis._following import call_by_keras, redirect_calls
from kapps.visualize._compiled import stored_result

LOOPS = (keras.layers.RNN, keras.layers.Bidirectional, keras.layers.TimeDistributed)
"""Layers that call others in a loop of the backend."""


@dataclasses.dataclass
class Call:
    """A call of a layer or an operation.

    Args:
        path: names of the models and layers from the outside to this one, such as "resnet50/conv1"; "conv1" in a
            model without nested ones. The second call of a layer ends in "_call2".
        operation: the `keras.layers.Layer` or `keras.Operation`.
        args, kwargs: of the call.
    """

    path: str
    operation: Any
    args: tuple
    kwargs: dict

    def proceed(self):
        """Returns the outputs."""
        return call_by_keras(self.operation, self.args, self.kwargs)


class _Visitor:
    """A trace for `redirect_calls`, which passes each call to a function."""

    def __init__(self, visit):
        self.visit, self.stack, self.counts, self.loops = visit, [], collections.Counter(), 0

    def call(self, operation, args, kwargs):
        if self.loops:
            return call_by_keras(operation, args, kwargs)
        path = "/".join([*self.stack[1:], operation.name])
        self.counts[path] += 1
        if self.counts[path] > 1:
            path = f"{path}_call{self.counts[path]}"
        self.stack.append(operation.name)
        self.loops += isinstance(operation, LOOPS)
        try:
            return self.visit(Call(path, operation, args, kwargs))
        finally:
            self.stack.pop()
            self.loops -= isinstance(operation, LOOPS)


def run(model, inputs, visit):
    """Returns the outputs of a model for inference; `visit(call)` returns the outputs of each call in it."""
    with redirect_calls(_Visitor(visit), of_values=True):
        return model(inputs, training=False)


def output_shapes(model, inputs):
    """Returns the shapes of the layers and operations that return a tensor, in the order of their ends, by path."""
    key = "shapes", *(tuple(x.shape) for x in keras.tree.flatten(inputs))
    return stored_result(model, key, lambda: _output_shapes(model, inputs))


def _output_shapes(model, inputs):
    shapes = {}

    def visit(call):
        outputs = call.proceed()
        if call.operation is not model and hasattr(outputs, "shape"):
            shapes[call.path] = tuple(outputs.shape)
        return outputs

    run(model, inputs, visit)
    return shapes


def find_layer(model, inputs, layer=None, rank=4):
    """Returns the path of a layer.

    Args:
        model: the model.
        inputs: an input with one example.
        layer: the path, or the last part of it where only one layer has it; None for the last layer with an output of
            `rank` dimensions and more than one place.
        rank: number of dimensions of the output; None for any.

    Raises:
        ValueError: if there is no such layer, or several ones.
    """
    shapes = output_shapes(model, inputs)
    fitting = [path for path, shape in shapes.items() if rank in (None, len(shape))]
    if layer is None:
        maps = [path for path in fitting if max(shapes[path][1:-1], default=1) > 1]
        if not maps:
            raise ValueError(f"{model.name} has no layer with feature maps; pass another model")
        return maps[-1]
    paths = [path for path in fitting if path == layer] or [
        path for path in fitting if path.rpartition("/")[2] == layer
    ]
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise ValueError(f"layer {layer!r} of {model.name} is one of {', '.join(paths)}; pass one")
    kind = "" if rank is None else f" with an output of {rank} dimensions"
    names = {name for path in fitting for name in (path, path.rpartition("/")[2])}
    raise ValueError(
        f"{model.name} has no layer {layer!r}{kind}.{nearest(layer, names)} The last ones are "
        f"{', '.join(fitting[-8:])}"
    )


def with_outputs(model, inputs, paths):
    """Returns the outputs of a model, and those of layers: {path: outputs}."""
    values = {}

    def visit(call):
        outputs = call.proceed()
        if call.path in paths:
            values[call.path] = outputs
        return outputs

    return run(model, inputs, visit), {path: values[path] for path in paths}

"""What a call of a layer or an operation is given and gives, symbolically."""

import inspect

import keras
from keras import tree

from kapps.analysis._following import unfollowed


class Refused(ValueError):  # noqa: N818  # it is what a layer did
    """Shapes that a model does not take."""


def specs(operation, args, kwargs):
    """Returns the outputs, symbolic; some operations call others to know their shapes."""
    with unfollowed():
        return operation.compute_output_spec(*args, **kwargs)


def symbolic(x):
    """Whether something is a tensor of a graph."""
    return isinstance(x, keras.KerasTensor)


def variable(x):
    """Whether something is a weight."""
    return isinstance(x, keras.Variable)


def spatial(tensor):
    """Returns the axes of the model's input that receptive fields speak of."""
    rank = len(tensor.shape)
    if rank == 2:  # the steps of a sequence of numbers that stand for words
        return (1,) if "int" in tensor.dtype else ()
    first = 2 if keras.config.image_data_format() == "channels_first" and rank > 3 else 1
    return tuple(range(first, first + rank - 2))


def arrays(operation, args, kwargs, is_layer):
    """Returns what a call is given, in the order of its signature, without masks."""
    if kwargs and is_layer:
        order = list(inspect.signature(operation.call).parameters)
        kwargs = dict(sorted(kwargs.items(), key=lambda pair: _place(order, pair[0])))
    values = [*args, *(x for key, x in kwargs.items() if "mask" not in key)]
    flat = [x for value in values for x in tree.flatten(value)]
    return [x for x in flat if symbolic(x) or variable(x) or (hasattr(x, "shape") and x.shape)]


def _place(order, key):
    return order.index(key) if key in order else len(order)


def inference(layer, kwargs):
    """Returns the arguments with training off, where the layer's call has it."""
    kwargs = {key: x for key, x in kwargs.items() if key != "training"}
    parameters = inspect.signature(layer.call).parameters
    return {**kwargs, "training": False} if "training" in parameters else kwargs


def build(layer, args, kwargs, leaf):
    """Builds a layer that is not yet. What it is made of is built where its call is followed to it."""
    if layer.built:
        return
    build = type(layer).build
    has_own = build is not keras.layers.Layer.build and build is not keras.Model.build
    if not leaf and not has_own:
        layer.built = True
        return
    with unfollowed():
        if len(args) == 1 and not any(symbolic(x) for x in tree.flatten(kwargs)):
            layer.build(tree.map_structure(_shape, args[0]))
        else:
            fresh = tree.map_structure(_twin, (args, kwargs))
            layer(*fresh[0], **fresh[1])


def _shape(x):
    return tuple(x.shape) if hasattr(x, "shape") else x


def check(layer, args):
    """Raises ValueError where the first input is not as long as the layer's weights want it along some axis."""
    spec, given = layer.input_spec, args[0] if args else None
    if not isinstance(spec, keras.layers.InputSpec) or not symbolic(given):
        return
    for axis, length in (spec.axes or {}).items():
        if length is not None and given.shape[int(axis)] != length:
            raise Refused(
                f"{layer.name} takes {length} along axis {axis}, not {tuple(given.shape)}"
            )


def _twin(x):
    return keras.KerasTensor(x.shape, x.dtype) if symbolic(x) else x

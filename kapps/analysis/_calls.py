"""Arguments, outputs and building of a layer or operation that is called on symbolic tensors."""

import inspect

import keras
from keras import tree

from kapps.analysis._following import call_keras


class InputShapeError(ValueError):
    """An input shape that a model cannot process."""


def output_specs(operation, args, kwargs):
    """Returns the symbolic outputs of a call."""
    with call_keras():  # some operations call others to compute their output shape
        outputs = operation.compute_output_spec(*args, **kwargs)
    if isinstance(operation, keras.layers.EinsumDense):
        # Keras repeats the None of the layer's output_shape, also for an input of known sizes.
        shape = _einsum_shape(
            operation.equation, [args[0].shape, operation.kernel.shape], outputs.shape
        )
        return keras.KerasTensor(shape, outputs.dtype)
    return outputs


def _einsum_shape(equation, inputs, output):
    """Returns the output's shape with the sizes of the letters that an einsum shares with its inputs."""
    operands, result = equation.replace(" ", "").split("->")
    sizes = {}
    for letters, shape in zip(operands.split(","), inputs, strict=True):
        before, _, after = letters.partition("...")
        sizes |= dict(zip(before, shape, strict=False))
        sizes |= dict(zip(reversed(after), reversed(shape), strict=False))
    before, _, after = result.partition("...")
    shape = list(output)
    for i, letter in enumerate(before):
        shape[i] = sizes.get(letter, shape[i])
    for i, letter in enumerate(reversed(after), start=1):
        shape[-i] = sizes.get(letter, shape[-i])
    return tuple(shape)


def is_symbolic(x) -> bool:
    """Returns whether a value is a symbolic tensor."""
    return isinstance(x, keras.KerasTensor)


def is_variable(x) -> bool:
    """Returns whether a value is a weight."""
    return isinstance(x, keras.Variable)


def spatial_axes(tensor) -> tuple[int, ...]:
    """Returns the axes of a model's input along which receptive fields are computed."""
    rank = len(tensor.shape)
    if rank == 2:  # (batch, time) of token indices; (batch, features) has no such axis
        return (1,) if "int" in tensor.dtype else ()
    first = 2 if keras.config.image_data_format() == "channels_first" and rank > 3 else 1
    return tuple(range(first, first + rank - 2))


def array_arguments(operation, args, kwargs, is_layer) -> list:
    """Returns the tensors, weights and arrays of a call in the order of its signature, without masks."""
    if kwargs and is_layer:
        order = list(inspect.signature(operation.call).parameters)
        kwargs = dict(sorted(kwargs.items(), key=lambda item: _position(order, item[0])))
    values = [*args, *(x for name, x in kwargs.items() if "mask" not in name)]
    flat = [x for value in values for x in tree.flatten(value)]
    return [
        x for x in flat if is_symbolic(x) or is_variable(x) or (hasattr(x, "shape") and x.shape)
    ]


def _position(order, name):
    return order.index(name) if name in order else len(order)


def inference_arguments(layer, kwargs) -> dict:
    """Returns the keyword arguments of a call with `training=False` if the layer has that argument."""
    kwargs = {name: x for name, x in kwargs.items() if name != "training"}
    parameters = inspect.signature(layer.call).parameters
    return {**kwargs, "training": False} if "training" in parameters else kwargs


def build_layer(layer, args, kwargs, has_rule) -> None:
    """Builds a layer if necessary. Inner layers of a layer without a rule are built when their call is followed."""
    if layer.built:
        return
    build = type(layer).build
    has_own_build = build is not keras.layers.Layer.build and build is not keras.Model.build
    if not has_rule and not has_own_build:
        layer.built = True
        return
    with call_keras():
        if len(args) == 1 and not any(is_symbolic(x) for x in tree.flatten(kwargs)):
            layer.build(tree.map_structure(_shape, args[0]))
        else:
            args, kwargs = tree.map_structure(_copy_symbolic, (args, kwargs))
            layer(*args, **kwargs)


def _shape(x):
    return tuple(x.shape) if hasattr(x, "shape") else x


def _copy_symbolic(x):
    return keras.KerasTensor(x.shape, x.dtype) if is_symbolic(x) else x


def check_input_lengths(layer, args) -> None:
    """Raises InputShapeError if an axis of the first input does not have the length in the layer's input spec."""
    spec, x = layer.input_spec, args[0] if args else None
    if not isinstance(spec, keras.layers.InputSpec) or not is_symbolic(x):
        return
    for axis, length in (spec.axes or {}).items():
        if length is not None and x.shape[int(axis)] != length:
            raise InputShapeError(
                f"{layer.name}: axis {axis} of the input must have length {length}, not {tuple(x.shape)}"
            )

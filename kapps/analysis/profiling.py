"""`profile`: the costs of a Keras model, layer by layer."""

import math

import keras
from keras import tree

from kapps._values import is_integer, short
from kapps.analysis import levels_and_blocks
from kapps.analysis._tracing import Trace
from kapps.analysis.memory import inference_memory, training_memory
from kapps.analysis.results import BYTES, Profile, Row
from kapps.model_record import parse_layer_name, prefixes, without_prefix


def profile(
    model: keras.layers.Layer,
    input_shape: tuple | list | dict | None = None,
    batch: int = 1,
    dtype: str = "float32",
) -> Profile:
    """Computes the costs of a model from its shapes, layer by layer. The model is not run.

    Multiply-accumulates are those of convolutions, dense layers, einsums, attention and recurrent products; other
    additions and operations are counted separately (`kapps.analysis.costs` has the convention). A layer that is called
    twice counts twice, but its parameters count once. A model that is not built is built, as by its first call.

    Args:
        model: any Keras model or layer: functional, sequential, subclassed or nested.
        input_shape: shape without the batch, for example (height, width, channels); for several inputs a list, or a
            dictionary by name. By default the model's own. Required if the model's shape has an unknown length or the
            model was never called.
        batch: number of images or sequences. All costs except parameters are for the whole batch.
        dtype: data type of weights and activations in memory: "float64", "float32", "float16", "bfloat16" or "int8".

    Returns:
        A `Profile`: `rows`, totals, `levels()`, `blocks()`, `table()`, `records()`.

    Raises:
        UnknownCostError: for a layer that has no cost rule and whose call cannot be followed. The message says how to
            add a rule.
        ValueError: if the input shape is missing, incomplete or not possible for the model, or for an unknown dtype or
            batch.
        TypeError: if `model` is not a Keras model or layer.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"profile takes a Keras model or layer, not {type(model).__name__}")
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, BYTES))}, not {dtype!r}")
    if not is_integer(batch, 1, 2**20):
        raise ValueError(f"batch must be a positive integer, not {batch!r}")
    if input_shape is not None and not _is_shape(input_shape):
        raise ValueError(
            f"input_shape={short(input_shape)} is not a tuple of positive integers such as (224, 224, 3), or a list or "
            "dictionary of such tuples"
        )
    trace = Trace(model, _symbolic_inputs(model, input_shape, batch))
    item_bytes = BYTES[dtype]
    owners = _memory_owners(trace)
    steps = _memory_steps(trace, owners)
    inputs, outputs = ([owners[i] for i in indices] for indices in (trace.inputs, trace.outputs))
    sizes = [item_bytes * math.prod(shape) for shape in trace.shapes]
    all_sizes = list(sizes)  # of all repetitions of a recurrent layer's step
    for call in trace.calls:
        for i in call.outputs:
            all_sizes[i] = call.repeat * sizes[i]
    sides = {span.axis: span.side for span in trace.spans[0]}
    networks = prefixes(model)
    return Profile(
        name=model.name,
        inputs=tuple(trace.shapes[i] for i in trace.inputs),
        outputs=tuple(trace.shapes[i] for i in trace.outputs),
        dtype=dtype,
        rows=tuple(_row(call, trace, item_bytes, sides, networks) for call in trace.calls),
        inference_bytes=inference_memory(steps, sizes, inputs, outputs),
        training_bytes=training_memory(steps, all_sizes, inputs, outputs),
        links=_links(trace),
    )


def _is_shape(shape):
    """Whether a value is a shape, or a list or dictionary of shapes."""
    if isinstance(shape, dict):
        return all(map(_is_shape, shape.values()))
    return isinstance(shape, (tuple, list)) and all(
        size is None
        or is_integer(size)
        or (isinstance(size, (tuple, list, dict)) and _is_shape(size))
        for size in shape
    )


def _symbolic_inputs(model, input_shape, batch):
    """Returns the symbolic inputs in the structure of the model's inputs."""
    if getattr(model, "inputs", None):
        # A Sequential model has no `input` before its first call.
        structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        flat = tree.flatten(structure)
        dtypes = [x.dtype for x in flat]
        shapes = [tuple(x.shape[1:]) for x in flat]
        if input_shape is not None:
            shapes = _match_shapes(model, input_shape, flat)
    else:
        if input_shape is None:
            input_shape = _build_shape(model)
        structure = _shape_structure(input_shape)
        shapes = [leaf.shape for leaf in tree.flatten(structure)]
        dtypes = ["float32"] * len(shapes)
    for shape in shapes:
        if not all(isinstance(length, int) and length > 0 for length in shape):
            raise ValueError(
                f"{model.name} has the input shape {shape}, without the batch; input_shape must give every length, "
                "for example (224, 224, 3)"
            )
    tensors = [
        keras.KerasTensor((batch, *shape), dtype)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    return tree.pack_sequence_as(structure, tensors)


def _match_shapes(model, input_shape, inputs):
    """Returns the shapes in `input_shape`, one for each of the model's inputs."""
    if isinstance(input_shape, dict):
        missing = [x.name for x in inputs if x.name not in input_shape]
        if missing:
            raise ValueError(f"{model.name}: input_shape has no {', '.join(missing)}")
        shapes = [tuple(input_shape[x.name]) for x in inputs]
    else:
        shapes = [leaf.shape for leaf in tree.flatten(_shape_structure(input_shape))]
    model_shapes = [tuple(x.shape[1:]) for x in inputs]
    if [len(shape) for shape in shapes] != [len(shape) for shape in model_shapes]:
        raise ValueError(
            f"{model.name} has inputs of shape {', '.join(map(str, model_shapes))}, not {input_shape}"
        )
    for shape, model_shape in zip(shapes, model_shapes, strict=True):
        if len(shape) > 1 and model_shape[-1] not in (None, shape[-1]):
            raise ValueError(f"{model.name} has an input of shape {model_shape}, not {shape}")
    return shapes


class _ShapeLeaf:
    """A shape that `keras.tree` treats as one leaf."""

    def __init__(self, shape):
        self.shape = tuple(shape)


def _shape_structure(shapes):
    """Returns a structure of shapes with `_ShapeLeaf` objects in place of the tuples of lengths."""
    if isinstance(shapes, dict):
        return {name: _shape_structure(shape) for name, shape in shapes.items()}
    if all(length is None or isinstance(length, int) for length in shapes):
        return _ShapeLeaf(shapes)
    return [_shape_structure(shape) for shape in shapes]


def _build_shape(model):
    """Returns the input shape that a model without symbolic inputs was built with."""
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not shape or not all(length is None or isinstance(length, int) for length in shape):
        raise ValueError(
            f"{model.name} has no input yet; give input_shape without the batch, for example (224, 224, 3)"
        )
    return tuple(shape[1:])


def _row(call, trace, item_bytes, sides, networks):
    """Returns the row of a call."""
    operation, cost = call.operation, call.cost
    place = "/".join(without_prefix(part, networks) for part in call.name.split("/"))
    inputs = tuple(trace.shapes[i] for i in call.inputs)
    outputs = tuple(trace.shapes[i] for i in call.outputs)
    trainable_ids = {id(x) for x in getattr(operation, "trainable_weights", call.variables)}
    trainable = sum(
        math.prod(x.shape) for x in call.variables if id(x) in trainable_ids and x.trainable
    )
    parameters = sum(math.prod(x.shape) for x in call.variables)
    activations = 0 if cost.view else call.repeat * sum(map(math.prod, outputs))
    spans = trace.spans[call.outputs[0]] if call.outputs else None
    return Row(
        name=call.name.partition("__")[0] if parse_layer_name(call.name) else call.name,
        kind=type(operation).__name__,
        level=levels_and_blocks.level(place, outputs, sides),
        block=levels_and_blocks.block(call.name),
        inputs=inputs,
        outputs=outputs,
        window=cost.window,
        macs=cost.macs,
        additions=cost.additions,
        elementwise=cost.elementwise,
        trainable=trainable,
        non_trainable=parameters - trainable,
        activations=activations,
        input_bytes=item_bytes * call.repeat * sum(map(math.prod, inputs)),
        weight_bytes=item_bytes * parameters,
        output_bytes=item_bytes * activations,
        receptive_field=tuple(span.receptive_field() for span in spans) if spans else None,
        repeat=call.repeat,
        signed_macs=cost.signed_macs,
        binary_macs=cost.binary_macs,
        binary_weights=cost.binary_weights if parameters else 0,
        packed_bytes=cost.packed_bytes if parameters else 0,
    )


def _links(trace):
    """Returns the edges between calls, see `Profile.links`. A tensor comes from the last call that returned it."""
    sources = {index: -1 - i for i, index in enumerate(trace.inputs)}
    links = {}
    for i, call in enumerate(trace.calls):
        links |= {(sources[index], i): None for index in call.inputs if index in sources}
        sources |= dict.fromkeys(call.outputs, i)
    return tuple(links)


def _memory_owners(trace):
    """Returns, for each tensor, the index of the tensor whose memory it uses."""
    owners = list(range(len(trace.shapes)))
    for call in trace.calls:
        if call.cost.view and call.inputs:
            for i in call.outputs:
                owners[i] = owners[call.inputs[0]]
    return owners


def _memory_steps(trace, owners):
    """Returns the tensors that each call reads and makes, for `kapps.analysis.memory`."""
    steps = []
    for call in trace.calls:
        read = tuple(owners[i] for i in call.inputs)
        made = () if call.cost.view else tuple(owners[i] for i in call.outputs)
        steps.append((read, made))
    return steps

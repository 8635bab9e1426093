"""`profile`: from a model to what it takes."""

import keras
from keras import tree

from kapps.analysis import levels, memory, results
from kapps.analysis._tracing import Trace


def profile(
    model: keras.layers.Layer,
    input_shape: tuple | list | dict | None = None,
    batch: int = 1,
    dtype: str = "float32",
) -> results.Profile:
    """Counts what a model takes, layer by layer, on its shapes alone: nothing is run.

    Multiply-accumulates are those of convolutions, dense layers, einsums, attention and recurrent products; other
    additions and operations are counted apart (`kapps.analysis.costs` has the convention). A layer that is called
    twice counts twice, its parameters once. A model that is not built yet is built, as by its first call.

    Args:
        model: any Keras model or layer: functional, sequential or subclassed, with whatever nested in it.
        input_shape: without the batch, (height, width, channels) for example; of several inputs a list, or a
            dictionary by name. By default the model's own; needed where that leaves a length open, or where the
            model was never called.
        batch: images or sequences at once; all figures but the parameters' are for the whole batch.
        dtype: that memory is given at: "float64", "float32", "float16", "bfloat16" or "int8".

    Returns:
        A `Profile`: `rows`, totals, `levels()`, `blocks()`, `table()`, `records()`.

    Raises:
        UnknownCost: for a layer whose cost no rule gives and whose call cannot be followed either; the message says
            how to teach it.
        ValueError: for an input shape that is missing, open or none that the model takes; for a dtype or batch that
            is not allowed.
        TypeError: for something that is no Keras model or layer.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"profile takes a Keras model or layer, not {type(model).__name__}")
    if dtype not in results.BYTES:
        raise ValueError(f"dtype is {', '.join(map(repr, results.BYTES))}, not {dtype!r}")
    if not (isinstance(batch, int) and batch > 0):
        raise ValueError(f"batch is a positive whole number, not {batch!r}")
    inputs = _inputs(model, input_shape, batch)
    trace = Trace(model, inputs)
    width = results.BYTES[dtype]
    sizes, all_sizes, steps = _memory(trace, width)
    sides = {span.axis: span.side for span in trace.spans[0]}
    names = _names(trace)
    kept = [tuple(names[n] for n in numbers) for numbers in (trace.inputs, trace.outputs)]
    return results.Profile(
        name=model.name,
        inputs=tuple(trace.shapes[n] for n in trace.inputs),
        outputs=tuple(trace.shapes[n] for n in trace.outputs),
        dtype=dtype,
        rows=tuple(_row(call, trace, width, sides) for call in trace.calls),
        inference_bytes=memory.inference(steps, sizes, kept),
        training_bytes=memory.training(steps, all_sizes, kept),
        links=_links(trace),
    )


def _inputs(model, input_shape, batch):
    """Returns the symbolic inputs, in the structure that the model takes them in."""
    own = getattr(model, "inputs", None)
    if own:  # a Sequential has no `input` of its own until it is called
        own = own[0] if isinstance(model, keras.Sequential) else model.input
        flat = tree.flatten(own)
        shapes = [tuple(x.shape[1:]) for x in flat]
        if input_shape is not None:
            shapes = _given(model, input_shape, flat)
        structure, dtypes = own, [x.dtype for x in flat]
    else:
        if input_shape is None:
            input_shape = _built_with(model)
        structure = _structure(input_shape)
        shapes = [tuple(shape.sizes) for shape in tree.flatten(structure)]
        dtypes = ["float32"] * len(shapes)
    for shape in shapes:
        if not all(isinstance(length, int) and length > 0 for length in shape):
            raise ValueError(
                f"{model.name} takes {shape}, with the batch left out; input_shape must give every length, "
                "for example (224, 224, 3)"
            )
    tensors = [
        keras.KerasTensor((batch, *shape), kind) for shape, kind in zip(shapes, dtypes, strict=True)
    ]
    return tree.pack_sequence_as(structure, tensors)


def _given(model, input_shape, flat):
    """Returns the shapes that the caller gives, one for each of the model's inputs."""
    if isinstance(input_shape, dict):
        missing = [x.name for x in flat if x.name not in input_shape]
        if missing:
            raise ValueError(f"{model.name}: input_shape has no {', '.join(missing)}")
        shapes = [tuple(input_shape[x.name]) for x in flat]
    else:
        shapes = [shape.sizes for shape in tree.flatten(_structure(input_shape))]
    ranks = [len(x.shape) - 1 for x in flat]
    if [len(shape) for shape in shapes] != ranks:
        raise ValueError(
            f"{model.name} takes {', '.join(str(tuple(x.shape[1:])) for x in flat)}, not {input_shape}"
        )
    for shape, x in zip(shapes, flat, strict=True):
        if shape[-1] != x.shape[-1] is not None and len(shape) > 1:
            raise ValueError(f"{model.name} takes {tuple(x.shape[1:])}, not {shape}")
    return shapes


class _Shape:
    """A shape as one leaf of a structure."""

    def __init__(self, sizes):
        self.sizes = tuple(sizes)


def _structure(shape):
    """Returns the structure of shapes that a caller gives, its tuples of lengths as leaves."""
    if isinstance(shape, dict):
        return {key: _structure(each) for key, each in shape.items()}
    if all(length is None or isinstance(length, int) for length in shape):
        return _Shape(shape)
    return [_structure(each) for each in shape]


def _built_with(model):
    """Returns the input shape that a model without an input of its own was built with."""
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not shape or not all(length is None or isinstance(length, int) for length in shape):
        raise ValueError(
            f"{model.name} has no input yet; give input_shape, for example (224, 224, 3), the batch left out"
        )
    return tuple(shape[1:])


def _row(call, trace, width, sides):
    """Returns the row of a call."""
    operation, cost = call.operation, call.cost
    inputs = tuple(trace.shapes[n] for n in call.inputs)
    outputs = tuple(trace.shapes[n] for n in call.outputs)
    trainable = {id(x) for x in getattr(operation, "trainable_weights", call.variables)}
    counts = [(id(x) in trainable and x.trainable, _size(x.shape)) for x in call.variables]
    elements = 0 if cost.view else call.repeat * sum(map(_size, outputs))
    spans = trace.spans[call.outputs[0]] if call.outputs else None
    parameters = sum(count for _, count in counts)
    learnt = sum(count for is_trainable, count in counts if is_trainable)
    return results.Row(
        name=call.name,
        kind=type(operation).__name__,
        level=levels.level(call.name, outputs, sides),
        block=levels.block(call.name),
        inputs=inputs,
        outputs=outputs,
        window=cost.window,
        macs=cost.macs,
        additions=cost.additions,
        elementwise=cost.elementwise,
        trainable=learnt,
        non_trainable=parameters - learnt,
        activations=elements,
        input_bytes=width * call.repeat * sum(map(_size, inputs)),
        weight_bytes=width * parameters,
        output_bytes=width * elements,
        receptive_field=tuple(span.field() for span in spans) if spans else None,
        repeat=call.repeat,
    )


def _links(trace):
    """Returns which call reads what which other made; a tensor that is given on is its last giver's."""
    makers = {number: -1 - i for i, number in enumerate(trace.inputs)}
    found = {}
    for i, call in enumerate(trace.calls):
        found |= {(makers[n], i): None for n in call.inputs if n in makers}
        makers |= dict.fromkeys(call.outputs, i)
    return tuple(found)


def _size(shape):
    size = 1
    for length in shape:
        size *= length
    return size


def _names(trace):
    """Returns, for each tensor, the tensor whose memory it is."""
    names = list(range(len(trace.shapes)))
    for call in trace.calls:
        if call.cost.view and call.inputs:
            for number in call.outputs:
                names[number] = names[call.inputs[0]]
    return names


def _memory(trace, width):
    """Returns each tensor's bytes, for one step and for all of a sequence, and what each call reads and makes."""
    names = _names(trace)
    sizes = [width * _size(shape) for shape in trace.shapes]
    repeated, steps = list(sizes), []
    for call in trace.calls:
        for number in call.outputs:
            repeated[number] = call.repeat * sizes[number]
        given = tuple(names[n] for n in call.inputs)
        made = () if call.cost.view else tuple(names[n] for n in call.outputs)
        steps.append((given, made))
    return sizes, repeated, steps

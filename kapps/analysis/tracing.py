"""Follows a model's calls on symbolic tensors: every layer and operation once for each time it is called.

Nothing is computed, and the model's own graph stays as it is. While a trace runs, and in its thread alone, calls of
layers and operations come here: what has a rule is one call, what has none is followed into. So functional,
sequential and subclassed models, and layers written in `keras.ops`, all go the same way, on every backend.
"""

import dataclasses
import inspect

import keras
from keras import tree

from kapps.analysis import fields
from kapps.analysis.costs import FOLLOW, MIX, UNKNOWN, Cost, UnknownCost, cost_of, rule_for, unknown
from kapps.analysis.following import following, unfollowed
from kapps.analysis.rules import recurrent


class _Refused(ValueError):  # noqa: N818  # it is what a layer did
    """Shapes that a model does not take."""


@dataclasses.dataclass
class Call:
    """One call of a layer or operation.

    Args:
        operation: that is called.
        name: its name, after those of the layers and models that it stands in, with slashes.
        cost: of the call, all repetitions together.
        repeat: times that it is called, one after the other; more than 1 inside recurrent layers.
        inputs, outputs: numbers of the tensors, in the trace's list.
        variables: weights that are its own.
    """

    operation: object
    name: str
    cost: Cost
    repeat: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variables: tuple


class Trace:
    """The calls of one model, in order, and the tensors between them.

    Attributes:
        calls: list of `Call`.
        shapes: of the tensors, with the batch.
        spans: what each tensor's units see of the model's first input, see `fields`.
        inputs, outputs: numbers of the model's tensors.
    """

    def __init__(self, model, inputs):
        self.calls, self.shapes, self.spans = [], [], []
        self.tensors, self.numbers = [], {}  # tensors are kept, so that each id stays one's own
        self.path, self.repeat, self.seen = [], 1, set()
        flat = tree.flatten(inputs)
        for tensor in flat:
            self.number(tensor, ())
        self.spans[0] = fields.start(flat[0].shape, _spatial(flat[0]))
        self.inputs = tuple(range(len(flat)))
        with following(self):
            if rule_for(model) is None:
                kwargs = _inference(model, {})
                _build(model, (inputs,), kwargs)
                outputs = self.enter(model, (inputs,), kwargs, top=True)
            else:
                outputs = self.call(model, (inputs,), {})
        self.outputs = tuple(self.number(x, None) for x in tree.flatten(outputs) if _symbolic(x))

    def number(self, tensor, spans):
        """Returns the number of a tensor, a new one where it has none."""
        if id(tensor) not in self.numbers:
            self.numbers[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
            self.shapes.append(tuple(tensor.shape))
            self.spans.append(spans)
        return self.numbers[id(tensor)]

    def call(self, operation, args, kwargs):
        """Records a call, or follows it into the layer, and returns its outputs."""
        if type(operation).__name__ == "ConvertToTensor":
            return args[0]
        if isinstance(operation, keras.layers.Layer):
            kwargs = _inference(operation, kwargs)
            _build(operation, args, kwargs)
            _check(operation, args)
        rule = rule_for(operation)
        if rule is not None:
            return self.record(operation, rule, args, kwargs)
        follow = {
            keras.layers.Bidirectional: self.both_directions,
            keras.layers.TimeDistributed: self.every_step,
            keras.layers.SpectralNormalization: self.wrapped,
        }.get(type(operation))
        if follow is None and isinstance(operation, keras.layers.RNN):
            follow = self.cell
        if follow is not None:
            return follow(operation, args, kwargs)
        if isinstance(operation, keras.layers.Layer):
            return self.enter(operation, args, kwargs)
        raise unknown(operation)

    def record(self, operation, rule, args, kwargs):
        """Adds one call and returns its outputs."""
        is_layer = isinstance(operation, keras.layers.Layer)
        if is_layer:  # training is off by default, and not every layer's shape rule takes it
            kwargs = {key: x for key, x in kwargs.items() if key != "training"}
        outputs = operation.compute_output_spec(*args, **kwargs)
        given = _arrays(operation, args, kwargs, is_layer)
        tensors = [x for x in given if _symbolic(x)]
        made = [x for x in tree.flatten(outputs) if _symbolic(x)]
        shapes = [tuple(x.shape) for x in (tensors if is_layer else given)]
        made_shapes = [tuple(x.shape) for x in made]
        if any(None in shape for shape in shapes + made_shapes):
            raise UnknownCost(
                f"{self.where(operation)} has a shape that depends on values: {shapes} to {made_shapes}; "
                "give every size in input_shape, or register a rule for a layer around it"
            )
        cost = cost_of(rule, operation, shapes, made_shapes)
        weights = operation.weights if is_layer else given
        self.add(operation, cost, tensors, made, [x for x in weights if _variable(x)])
        return outputs

    def add(self, operation, cost, tensors, made, variables):
        numbers = tuple(self.number(x, ()) for x in tensors)
        known = [(self.spans[n], self.shapes[n]) for n in numbers]
        # Tensors that the layer gives on as they are keep their number, and what they see.
        out = tuple(self.number(x, fields.carry(cost, known, tuple(x.shape))) for x in made)
        own = tuple(x for x in variables if id(x) not in self.seen)
        self.seen.update(map(id, own))
        times = recurrent.times(cost, self.repeat) if self.repeat > 1 else cost
        cost = dataclasses.replace(
            cost, macs=times.macs, additions=times.additions, elementwise=times.elementwise
        )
        name = self.where(operation)
        self.calls.append(Call(operation, name, cost, self.repeat, numbers, out, own))

    def where(self, operation):
        return "/".join([*self.path, operation.name])

    def enter(self, layer, args, kwargs, top=False):
        """Follows a call into a model, or into a layer that is made of others and of operations."""
        if not top:
            self.path.append(layer.name)
        before = len(self.calls)
        try:
            outputs = layer.call(*args, **kwargs)
        except (UnknownCost, _Refused):
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if isinstance(layer, (keras.Function, keras.Sequential)):
                shapes = [tuple(x.shape) for x in tree.flatten(args) if _symbolic(x)]
                raise _Refused(f"{layer.name} does not take {shapes}: {reason}") from error
            raise unknown(
                layer, f", and its call cannot be followed on symbolic tensors ({reason})"
            ) from error
        if not top:
            self.path.pop()
        if not any(_symbolic(x) for x in tree.flatten(outputs)):
            raise unknown(layer, ", and its call gives no symbolic tensor")
        self.leftover(layer, before)
        return outputs

    def leftover(self, layer, before):
        """Gives weights that no followed call has taken a row without a cost: nothing may be left uncounted."""
        inner = {id(x) for call in self.calls[before:] for x in call.variables}
        left = [x for x in layer.weights if id(x) not in inner and id(x) not in self.seen]
        if left:
            self.add(layer, Cost(), [], [], left)
            self.calls.insert(before, self.calls.pop())

    def both_directions(self, layer, args, kwargs):
        """A bidirectional layer: both directions, then what merges them."""
        self.path.append(layer.name)
        made = [tree.flatten(each(args[0])) for each in (layer.forward_layer, layer.backward_layer)]
        self.path.pop()
        outputs = layer.compute_output_spec(*args, **kwargs)
        cost = recurrent.merged(layer, [], [tuple(tree.flatten(outputs)[0].shape)])
        self.add(layer, cost, [made[0][0], made[1][0]], tree.flatten(outputs), [])
        return outputs

    def every_step(self, layer, args, kwargs):
        """A layer on each step of a sequence."""
        sequence = args[0]
        outputs = layer.compute_output_spec(*args, **kwargs)
        batch, steps, *rest = sequence.shape
        self.repeated(layer, layer.layer, steps, (batch, *rest), sequence, outputs, ())
        return outputs

    def cell(self, layer, args, kwargs):
        """A recurrent layer with a cell that has no rule as a layer."""
        sequence = args[0]
        outputs = layer.compute_output_spec(*args, **kwargs)
        batch, steps, *rest = sequence.shape
        states = tree.map_structure(
            lambda x: keras.KerasTensor(tuple(x.shape)), layer.get_initial_state(batch)
        )
        self.repeated(layer, layer.cell, steps, (batch, *rest), sequence, outputs, (states,))
        return outputs

    def repeated(self, layer, inner, steps, shape, sequence, outputs, more):
        """Follows a layer once on one step and counts it as often as there are steps."""
        self.path.append(layer.name)
        self.repeat *= steps
        inner(keras.KerasTensor(shape, sequence.dtype), *more)
        self.repeat //= steps
        self.path.pop()
        if more:
            reach = Cost(reach=MIX)
        elif (
            len(sequence.shape) == 3
        ):  # each step sees itself; inside a picture of a step nobody looks
            reach = Cost(
                reach=FOLLOW, axes=(0, 1, *[-1] * (len(tree.flatten(outputs)[0].shape) - 2))
            )
        else:
            reach = Cost(reach=UNKNOWN)
        made = tree.flatten(outputs)
        own = [x for x in layer.weights if id(x) not in self.seen]
        self.add(layer, reach, [sequence], made, own)

    def wrapped(self, layer, args, kwargs):
        """A wrapper that does at inference what its layer does."""
        self.path.append(layer.name)
        before = len(self.calls)
        outputs = layer.layer(*args, **{key: x for key, x in kwargs.items() if key != "training"})
        self.path.pop()
        self.leftover(layer, before)
        return outputs


def _symbolic(x):
    return isinstance(x, keras.KerasTensor)


def _variable(x):
    return isinstance(x, keras.Variable)


def _spatial(tensor):
    """Returns the axes of the model's input that receptive fields speak of."""
    rank = len(tensor.shape)
    if rank == 2:  # the steps of a sequence of numbers that stand for words
        return (1,) if "int" in tensor.dtype else ()
    first = 2 if keras.config.image_data_format() == "channels_first" and rank > 3 else 1
    return tuple(range(first, first + rank - 2))


def _arrays(operation, args, kwargs, is_layer):
    """Returns what a call is given, in the order of its signature, without masks."""
    if kwargs and is_layer:
        order = list(inspect.signature(operation.call).parameters)
        kwargs = dict(sorted(kwargs.items(), key=lambda pair: _place(order, pair[0])))
    values = [*args, *(x for key, x in kwargs.items() if "mask" not in key)]
    flat = [x for value in values for x in tree.flatten(value)]
    return [x for x in flat if _symbolic(x) or _variable(x) or (hasattr(x, "shape") and x.shape)]


def _place(order, key):
    return order.index(key) if key in order else len(order)


def _inference(layer, kwargs):
    """Returns the arguments with training off, where the layer's call has it."""
    kwargs = {key: x for key, x in kwargs.items() if key != "training"}
    parameters = inspect.signature(layer.call).parameters
    return {**kwargs, "training": False} if "training" in parameters else kwargs


def _build(layer, args, kwargs):
    """Builds a layer that is not yet, as its first call would."""
    if not layer.built:
        fresh = tree.map_structure(_twin, (args, kwargs))
        with unfollowed():
            layer(*fresh[0], **fresh[1])


def _check(layer, args):
    """Raises ValueError where the first input is not as long as the layer's weights want it along some axis."""
    spec, given = layer.input_spec, args[0] if args else None
    if not isinstance(spec, keras.layers.InputSpec) or not _symbolic(given):
        return
    for axis, length in (spec.axes or {}).items():
        if length is not None and given.shape[int(axis)] != length:
            raise _Refused(
                f"{layer.name} takes {length} along axis {axis}, not {tuple(given.shape)}"
            )


def _twin(x):
    return keras.KerasTensor(x.shape, x.dtype) if _symbolic(x) else x

"""Follows a model's calls on symbolic tensors: every layer and operation once for each time it is called.

Nothing is computed, and the model's own graph stays as it is. While a trace runs, and in its thread alone, calls of
layers and operations come here: what has a rule is one call, what has none is followed into. So functional,
sequential and subclassed models, and layers written in `keras.ops`, all go the same way, on every backend.
"""

import dataclasses
from types import MappingProxyType

import keras
from keras import tree

from kapps.analysis import receptive_field
from kapps.analysis._calls import (
    Refused,
    arrays,
    build,
    check,
    inference,
    spatial,
    specs,
    symbolic,
    variable,
)
from kapps.analysis._following import following
from kapps.analysis.cost_rules import recurrent_costs
from kapps.analysis.costs import FOLLOW, MIX, UNKNOWN, Cost, UnknownCost, cost_of, rule_for, unknown


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
        self.spans[0] = receptive_field.start(flat[0].shape, spatial(flat[0]))
        self.inputs = tuple(range(len(flat)))
        with following(self):
            if rule_for(model) is None:
                kwargs = inference(model, {})
                build(model, (inputs,), kwargs, False)
                outputs = self.enter(model, (inputs,), kwargs, top=True)
            else:
                outputs = self.call(model, (inputs,), {})
        self.outputs = tuple(self.number(x, None) for x in tree.flatten(outputs) if symbolic(x))

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
            kwargs = inference(operation, kwargs)
        rule = rule_for(operation)
        if isinstance(operation, keras.layers.Layer):
            build(
                operation,
                args,
                kwargs,
                rule is not None or isinstance(operation, tuple(self.wrappers)),
            )
            check(operation, args)
        if rule is not None:
            return self.record(operation, rule, args, kwargs)
        for kind, follow in self.wrappers.items():
            if isinstance(operation, kind):
                return follow(self, operation, args, kwargs)
        if isinstance(operation, keras.layers.Layer):
            return self.enter(operation, args, kwargs)
        raise unknown(operation)

    def record(self, operation, rule, args, kwargs):
        """Adds one call and returns its outputs."""
        is_layer = isinstance(operation, keras.layers.Layer)
        if is_layer:  # training is off by default, and not every layer's shape rule takes it
            kwargs = {key: x for key, x in kwargs.items() if key != "training"}
        outputs = specs(operation, args, kwargs)
        given = arrays(operation, args, kwargs, is_layer)
        tensors = [x for x in given if symbolic(x)]
        made = [x for x in tree.flatten(outputs) if symbolic(x)]
        shapes = [tuple(x.shape) for x in (tensors if is_layer else given)]
        made_shapes = [tuple(x.shape) for x in made]
        if any(None in shape for shape in shapes + made_shapes):
            raise UnknownCost(
                f"{self.where(operation)} has a shape that depends on values: {shapes} to {made_shapes}; "
                "give every size in input_shape, or register a rule for a layer around it"
            )
        cost = cost_of(rule, operation, shapes, made_shapes)
        weights = operation.weights if is_layer else given
        self.add(operation, cost, tensors, made, [x for x in weights if variable(x)])
        return outputs

    def add(self, operation, cost, tensors, made, variables):
        numbers = tuple(self.number(x, ()) for x in tensors)
        known = [(self.spans[n], self.shapes[n]) for n in numbers]
        # Tensors that the layer gives on as they are keep their number, and what they see.
        out = tuple(
            self.number(x, receptive_field.carry(cost, known, tuple(x.shape))) for x in made
        )
        own = tuple(x for x in variables if id(x) not in self.seen)
        self.seen.update(map(id, own))
        times = recurrent_costs.times(cost, self.repeat) if self.repeat > 1 else cost
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
        except (UnknownCost, Refused):
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if isinstance(layer, (keras.Function, keras.Sequential)):
                shapes = [tuple(x.shape) for x in tree.flatten(args) if symbolic(x)]
                raise Refused(f"{layer.name} does not take {shapes}: {reason}") from error
            raise unknown(
                layer, f", and its call cannot be followed on symbolic tensors ({reason})"
            ) from error
        if not top:
            self.path.pop()
        if not any(symbolic(x) for x in tree.flatten(outputs)):
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
        outputs = specs(layer, args, kwargs)
        cost = recurrent_costs.merged(layer, [], [tuple(tree.flatten(outputs)[0].shape)])
        self.add(layer, cost, [made[0][0], made[1][0]], tree.flatten(outputs), [])
        return outputs

    def every_step(self, layer, args, kwargs):
        """A layer on each step of a sequence."""
        sequence = args[0]
        outputs = specs(layer, args, kwargs)
        batch, steps, *rest = sequence.shape
        self.repeated(layer, layer.layer, steps, (batch, *rest), sequence, outputs, ())
        return outputs

    def cell(self, layer, args, kwargs):
        """A recurrent layer with a cell that has no rule as a layer."""
        sequence = args[0]
        outputs = specs(layer, args, kwargs)
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
        ):  # each step sees itself; inside an image of a step nobody looks
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

    wrappers = MappingProxyType(
        {
            keras.layers.Bidirectional: both_directions,
            keras.layers.TimeDistributed: every_step,
            keras.layers.SpectralNormalization: wrapped,
            keras.layers.RNN: cell,
        }
    )
    """How layers are followed that call others in a way of their own."""

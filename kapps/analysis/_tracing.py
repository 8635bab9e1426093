"""Follows a model's calls on symbolic tensors and records every call of a layer or operation.

Nothing is computed, and the model's own graph does not change. While a trace runs, the calls of layers and operations
in its thread come to `Trace.call`: a layer with a cost rule is recorded as one call; the `call` method of a layer
without a rule is run, so that the calls inside it are recorded. Functional, sequential and subclassed models and layers
written with `keras.ops` are therefore treated alike, on every backend.
"""

import dataclasses
from types import MappingProxyType

import keras
from keras import tree

from kapps.analysis._calls import (
    InputShapeError,
    array_arguments,
    build_layer,
    check_input_lengths,
    inference_arguments,
    is_symbolic,
    is_variable,
    output_specs,
    spatial_axes,
)
from kapps.analysis._following import redirect_calls
from kapps.analysis.cost_rules import recurrent_costs
from kapps.analysis.costs import (
    FOLLOW,
    MIX,
    UNKNOWN,
    Cost,
    UnknownCostError,
    apply_rule,
    rule_for,
    unknown_cost,
)
from kapps.analysis.receptive_field import input_spans, output_spans


@dataclasses.dataclass
class Call:
    """One call of a layer or operation.

    Args:
        operation: the layer or operation.
        name: its name, after the names of the layers and models that contain it, joined by slashes.
        cost: cost of all repetitions together.
        repeat: number of repetitions; more than 1 inside recurrent layers.
        inputs, outputs: indices of tensors in the trace.
        variables: weights that no earlier call has.
    """

    operation: object
    name: str
    cost: Cost
    repeat: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variables: tuple


class Trace:
    """The calls of one model in order, and the tensors between them.

    Attributes:
        calls: list of `Call`.
        shapes: shapes of the tensors, with the batch.
        spans: for each tensor, what its units see of the model's first input (`receptive_field`).
        inputs, outputs: indices of the model's input and output tensors.
    """

    def __init__(self, model, inputs):
        self.calls, self.shapes, self.spans = [], [], []
        self.tensors, self.indices = [], {}  # the tensors are kept, so that no id is used twice
        self.path, self.repeat, self.counted = [], 1, set()
        tensors = tree.flatten(inputs)
        for tensor in tensors:
            self.index(tensor, ())
        self.spans[0] = input_spans(tensors[0].shape, spatial_axes(tensors[0]))
        self.inputs = tuple(range(len(tensors)))
        with redirect_calls(self):
            if rule_for(model) is None:
                kwargs = inference_arguments(model, {})
                build_layer(model, (inputs,), kwargs, has_rule=False)
                outputs = self.enter(model, (inputs,), kwargs, is_top=True)
            else:
                outputs = self.call(model, (inputs,), {})
        self.outputs = tuple(self.index(x, None) for x in tree.flatten(outputs) if is_symbolic(x))

    def index(self, tensor, spans):
        """Returns the index of a tensor; adds the tensor with its spans if it is new."""
        if id(tensor) not in self.indices:
            self.indices[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
            self.shapes.append(tuple(tensor.shape))
            self.spans.append(spans)
        return self.indices[id(tensor)]

    def call(self, operation, args, kwargs):
        """Records a call or follows it, and returns its outputs."""
        if type(operation).__name__ == "ConvertToTensor":
            return args[0]
        is_layer = isinstance(operation, keras.layers.Layer)
        rule = rule_for(operation)
        if is_layer:
            kwargs = inference_arguments(operation, kwargs)
            is_wrapper = isinstance(operation, tuple(self.wrappers))
            build_layer(operation, args, kwargs, has_rule=rule is not None or is_wrapper)
            check_input_lengths(operation, args)
        if rule is not None:
            return self.record(operation, rule, args, kwargs)
        for wrapper_class, follow in self.wrappers.items():
            if isinstance(operation, wrapper_class):
                return follow(self, operation, args, kwargs)
        if is_layer:
            return self.enter(operation, args, kwargs)
        raise unknown_cost(operation)

    def record(self, operation, rule, args, kwargs):
        """Adds a call with the cost of a rule, and returns its outputs."""
        is_layer = isinstance(operation, keras.layers.Layer)
        if is_layer:  # training is off by default, and not every compute_output_spec accepts it
            kwargs = {name: x for name, x in kwargs.items() if name != "training"}
        outputs = output_specs(operation, args, kwargs)
        arrays = array_arguments(operation, args, kwargs, is_layer)
        tensors = [x for x in arrays if is_symbolic(x)]
        output_tensors = [x for x in tree.flatten(outputs) if is_symbolic(x)]
        input_shapes = [tuple(x.shape) for x in (tensors if is_layer else arrays)]
        output_shapes = [tuple(x.shape) for x in output_tensors]
        if any(None in shape for shape in input_shapes + output_shapes):
            raise UnknownCostError(
                f"{self.full_name(operation)} has a shape that depends on values: {input_shapes} to {output_shapes}; "
                "give every length in input_shape, or register a cost for a layer that contains it"
            )
        cost = apply_rule(rule, operation, input_shapes, output_shapes)
        weights = operation.weights if is_layer else arrays
        self.add(operation, cost, tensors, output_tensors, [x for x in weights if is_variable(x)])
        return outputs

    def add(self, operation, cost, inputs, outputs, variables):
        """Adds a call; the cost is for one repetition."""
        input_indices = tuple(self.index(x, ()) for x in inputs)
        spans = [(self.spans[i], self.shapes[i]) for i in input_indices]
        # An output that is one of the inputs keeps its index and its spans.
        output_indices = tuple(
            self.index(x, output_spans(cost, spans, tuple(x.shape))) for x in outputs
        )
        new_variables = tuple(x for x in variables if id(x) not in self.counted)
        self.counted.update(map(id, new_variables))
        cost = dataclasses.replace(
            cost,
            macs=cost.macs * self.repeat,
            additions=cost.additions * self.repeat,
            elementwise=cost.elementwise * self.repeat,
            signed_macs=cost.signed_macs * self.repeat,
            binary_macs=cost.binary_macs * self.repeat,
        )
        name = self.full_name(operation)
        self.calls.append(
            Call(operation, name, cost, self.repeat, input_indices, output_indices, new_variables)
        )

    def full_name(self, operation):
        return "/".join([*self.path, operation.name])

    def enter(self, layer, args, kwargs, is_top=False):
        """Runs the `call` method of a model or layer, so that the calls inside it are recorded."""
        if not is_top:
            self.path.append(layer.name)
        first_call = len(self.calls)
        try:
            outputs = layer.call(*args, **kwargs)
        except (UnknownCostError, InputShapeError):
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if isinstance(layer, (keras.Function, keras.Sequential)):
                shapes = [tuple(x.shape) for x in tree.flatten(args) if is_symbolic(x)]
                raise InputShapeError(
                    f"{layer.name} cannot process inputs of shape {shapes}: {reason}"
                ) from error
            raise unknown_cost(
                layer, f", and its call cannot be followed on symbolic tensors ({reason})"
            ) from error
        if not is_top:
            self.path.pop()
        if not any(is_symbolic(x) for x in tree.flatten(outputs)):
            raise unknown_cost(layer, ", and its call does not return a symbolic tensor")
        self.add_remaining_weights(layer, first_call)
        return outputs

    def add_remaining_weights(self, layer, first_call):
        """Adds a call without cost for weights of a layer that no call inside it has, so that every weight counts."""
        inner = {id(x) for call in self.calls[first_call:] for x in call.variables}
        remaining = [x for x in layer.weights if id(x) not in inner and id(x) not in self.counted]
        if remaining:
            self.add(layer, Cost(), [], [], remaining)
            self.calls.insert(first_call, self.calls.pop())

    def follow_bidirectional(self, layer, args, kwargs):
        """Records both directions, and the merging of their outputs as a call of its own."""
        self.path.append(layer.name)
        forward = tree.flatten(layer.forward_layer(args[0]))
        backward = tree.flatten(layer.backward_layer(args[0]))
        self.path.pop()
        outputs = output_specs(layer, args, kwargs)
        output_tensors = tree.flatten(outputs)
        cost = recurrent_costs.merge(layer, tuple(output_tensors[0].shape))
        self.add(layer, cost, [forward[0], backward[0]], output_tensors, [])
        return outputs

    def follow_time_distributed(self, layer, args, kwargs):
        """Records a layer that is called on each time step of a sequence."""
        return self.repeat_over_time(layer, layer.layer, args[0], args, kwargs)

    def follow_rnn(self, layer, args, kwargs):
        """Records a recurrent layer whose cell has a rule or can be followed."""
        states = tree.map_structure(
            lambda x: keras.KerasTensor(tuple(x.shape)), layer.get_initial_state(args[0].shape[0])
        )
        return self.repeat_over_time(layer, layer.cell, args[0], args, kwargs, states)

    def repeat_over_time(self, layer, inner, sequence, args, kwargs, *states):
        """Follows an inner layer on one time step, and multiplies its cost by the number of steps."""
        outputs = output_specs(layer, args, kwargs)
        output_tensors = tree.flatten(outputs)
        batch, steps, *step_shape = sequence.shape
        self.path.append(layer.name)
        self.repeat *= steps
        inner(keras.KerasTensor((batch, *step_shape), sequence.dtype), *states)
        self.repeat //= steps
        self.path.pop()
        if states:
            reach = Cost(reach=MIX)
        elif len(sequence.shape) == 3:  # each step sees itself
            added_axes = len(output_tensors[0].shape) - 2
            reach = Cost(reach=FOLLOW, axes=(0, 1, *[-1] * added_axes))
        else:  # receptive fields inside the image of a step are not followed
            reach = Cost(reach=UNKNOWN)
        variables = [x for x in layer.weights if id(x) not in self.counted]
        self.add(layer, reach, [sequence], output_tensors, variables)
        return outputs

    def follow_wrapped(self, layer, args, kwargs):
        """Records a wrapper that does the same as its inner layer at inference."""
        self.path.append(layer.name)
        first_call = len(self.calls)
        kwargs = {name: x for name, x in kwargs.items() if name != "training"}
        outputs = layer.layer(*args, **kwargs)
        self.path.pop()
        self.add_remaining_weights(layer, first_call)
        return outputs

    wrappers = MappingProxyType(
        {
            keras.layers.Bidirectional: follow_bidirectional,
            keras.layers.TimeDistributed: follow_time_distributed,
            keras.layers.SpectralNormalization: follow_wrapped,
            keras.layers.RNN: follow_rnn,
        }
    )
    """Methods that follow layers which call other layers, by class."""

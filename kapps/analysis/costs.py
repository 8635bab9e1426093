"""The cost of a layer: the record that a rule returns, and the rule of a layer or operation.

The convention of all rules:

- `macs` are multiply-accumulates of convolutions, dense layers, einsums, matrix products, attention and recurrent
  products. Kernel positions on padding count, as in published numbers.
- `additions` are all other additions and subtractions: biases, residual sums, the sums of means and norms.
- `elementwise` are all other operations on numbers: multiplications, divisions, comparisons, exponentials and other
  functions. Each is one operation for each element.
- Moving values (reshape, transpose, concatenate, slice, lookup, shift, shuffle) costs nothing.

Costs are those of inference: dropout and augmentation do nothing, and batch normalisation is one multiplication and one
addition.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

from kapps._keras_compat import is_keras_operation

POINT, MIX, RESHAPE, FOLLOW, UNKNOWN = "point", "mix", "reshape", "follow", "unknown"
"""The inputs that an output unit depends on: the unit at its own position; all positions along some axes; the same
values under another shape; positions along axes in another order; not known."""

_rules, _operation_rules = {}, {}


class UnknownCostError(ValueError):
    """A layer or operation has no cost rule. The message says how to add one."""


@dataclasses.dataclass(frozen=True)
class Window:
    """The sliding window of a convolution or pooling. Each tuple has one value for each spatial axis.

    Args:
        kernel: size of the kernel, before dilation.
        strides: strides; for a transposed convolution, the upsampling factors.
        padding: (before, after) in units of the padded map; negative values are cropping.
        dilation: dilation rates.
        axes: axes of the tensor that the window slides along.
        groups: number of channel groups.
        transposed: whether it is a transposed convolution.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    axes: tuple[int, ...]
    groups: int = 1
    transposed: bool = False


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one call for the whole batch.

    Args:
        macs: multiply-accumulates.
        additions: other additions and subtractions.
        elementwise: other operations.
        window: the window of a convolution or pooling.
        reach: without a window, the inputs that an output unit depends on: "point" (the unit at its own position),
            "mix" (all positions along `axes`), "reshape", "follow" (its position along `axes`), "unknown".
        axes: for "mix", the axes of the input that are mixed (by default all). For "follow", the input axis of each
            output axis, -1 for none; positions along other input axes are mixed.
        view: whether the output is the memory of the input under another shape.
        signed_macs: of `macs`, those with a weight of -1 or 1: an addition or a subtraction, and no multiplication.
        binary_macs: of `signed_macs`, those whose input is -1 or 1 too: XNOR and bit count.
        binary_weights: weights that take one bit each at inference.
        packed_bytes: their memory at inference, with the scales that belong to them.
    """

    macs: int = 0
    additions: int = 0
    elementwise: int = 0
    window: Window | None = None
    reach: str = POINT
    axes: tuple[int, ...] | None = None
    view: bool = False
    signed_macs: int = 0
    binary_macs: int = 0
    binary_weights: int = 0
    packed_bytes: int = 0

    def __add__(self, other):
        return dataclasses.replace(
            self,
            macs=self.macs + other.macs,
            additions=self.additions + other.additions,
            elementwise=self.elementwise + other.elementwise,
        )


def register_cost(layer_class: type, rule: Callable) -> None:
    """Registers the cost rule of a layer or operation of another package.

    A layer of your own can have a method `profile_cost(input_shapes, output_shapes)` instead, which returns a `Cost` or
    a dictionary of its arguments, or an attribute `profile_as`: a Keras layer class with the same cost.

    Args:
        layer_class: subclass of `keras.layers.Layer` or `keras.Operation`. The rule also holds for its subclasses.
        rule: function (layer, input_shapes, output_shapes) that returns a `Cost` or a dictionary of its arguments.
            The shapes are lists of tuples of int, with the batch.

    Raises:
        TypeError: if `layer_class` is not a class or `rule` is not callable.
    """
    if not isinstance(layer_class, type) or not callable(rule):
        raise TypeError(
            "register_cost takes a class and a function (layer, input_shapes, output_shapes), not "
            f"{layer_class!r}, {rule!r}"
        )
    _rules[layer_class] = rule


def register_operations(*names: str) -> Callable:
    """Returns a decorator for the rule of Keras operations. Their classes are private and identified by name."""
    return functools.partial(_register_operations, names)


def _register_operations(names, rule):
    _operation_rules.update(dict.fromkeys(names, rule))
    return rule


def rule_for(operation) -> Callable | None:
    """Returns the rule of a layer or operation, or None. The nearest class decides, as for methods.

    A subclass outside Keras with its own `call` does not inherit a rule, since it may do more than its parent class.
    """
    for layer_class in type(operation).__mro__:
        attributes = vars(layer_class)
        module, name = layer_class.__module__, layer_class.__name__
        if "profile_cost" in attributes:
            return _declared_cost
        if "profile_as" in attributes:
            return _rules[attributes["profile_as"]]
        if layer_class in _rules:
            return _rules[layer_class]
        if is_keras_operation(layer_class) and name in _operation_rules:
            return _operation_rules[name]
        if "call" in attributes and not module.startswith("keras."):
            return None
    return None


def _declared_cost(layer, inputs, outputs):
    return layer.profile_cost(inputs, outputs)


def apply_rule(rule, operation, inputs, outputs) -> Cost:
    """Returns the `Cost` of a call by a rule.

    Raises:
        UnknownCostError: if the rule returns neither a `Cost` nor a dictionary of its arguments.
    """
    cost = rule(operation, inputs, outputs)
    if isinstance(cost, dict):
        names = [field.name for field in dataclasses.fields(Cost)]
        unknown = sorted(set(cost) - set(names))
        if unknown:
            raise UnknownCostError(
                f"the cost of {operation.name} ({type(operation).__name__}) has {', '.join(unknown)}; "
                f"allowed are {', '.join(names)}"
            )
        if isinstance(cost.get("window"), dict):
            cost = {**cost, "window": Window(**cost["window"])}
        cost = Cost(**cost)
    if not isinstance(cost, Cost):
        raise UnknownCostError(
            f"the rule of {operation.name} ({type(operation).__name__}) returns {cost!r}, "
            "not a kapps.analysis.Cost or a dictionary of its arguments"
        )
    return cost


def unknown_cost(operation, reason="") -> UnknownCostError:
    """Returns the error for a layer or operation without a rule; its message says how to add one."""
    name = type(operation).__name__
    return UnknownCostError(
        f"no rule for the cost of {operation.name} ({name}){reason}; give {name} a method "
        "profile_cost(self, input_shapes, output_shapes) that returns {'macs': ..., 'additions': ..., "
        f"'elementwise': ...}}, or call kapps.analysis.register_cost({name}, rule) with "
        "rule(layer, input_shapes, output_shapes)"
    )


def size(*shapes) -> int:
    """Returns the number of elements of all shapes together."""
    return sum(math.prod(shape) for shape in shapes)

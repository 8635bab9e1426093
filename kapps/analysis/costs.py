"""What a layer costs: the record that a rule gives, and how a rule is found for a layer or an operation.

The convention, once for every rule:

- `macs` are multiply-accumulates: convolution, dense, einsum and matrix product, attention, recurrent products.
  Taps that fall on padding count, as in every published figure.
- `additions` are all other additions and subtractions: biases, residual sums, what a mean or a norm sums up.
- `elementwise` are all other operations on numbers: multiplications, divisions, comparisons, exponentials and other
  functions, each one operation an element.
- Moving values (reshape, transpose, concatenate, slice, look-up, shift, shuffle) costs neither.

It is inference: dropout and augmentation do nothing, batch norm is one multiplication and one addition.
"""

import dataclasses
import functools
import math

from kapps._keras_compat import is_keras_operation

POINT, MIX, RESHAPE, FOLLOW, UNKNOWN = "point", "mix", "reshape", "follow", "unknown"
"""What an output unit sees of the input: its own place; all places along some axes; the same values in another
shape; places along axes that stand elsewhere now; nobody can say."""

_rules, _named = {}, {}


class UnknownCost(ValueError):  # noqa: N818  # it is what is missing, and how to add it
    """A layer or an operation that no rule is known for; the message says how to teach one."""


@dataclasses.dataclass(frozen=True)
class Window:
    """How a convolution or a pooling slides. One value a spatial axis in each tuple.

    Args:
        kernel: units that the window holds, before dilation.
        strides: its steps; of a transposed convolution, the factors that it enlarges by.
        padding: (before, after) in units of the map that is padded; negative where units are cut off.
        dilation: distance of two neighbouring taps.
        groups: parts that the channels are convolved in.
        axes: of the tensor, that it slides over.
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
    """What one call costs, for the whole batch.

    Args:
        macs: multiply-accumulates.
        additions: other additions and subtractions.
        elementwise: other operations.
        window: of a convolution or a pooling.
        reach: where there is no window, what an output unit sees of the input: "point" (its own place), "mix" (all
            places along `axes`), "reshape", "follow" (its place along `axes`), "unknown".
        axes: of the input: those that a "mix" joins (by default all); for "follow", the one that each axis of the
            output runs along, -1 for none. Places along others are joined.
        view: whether the output is the input's memory under another shape.
    """

    macs: int = 0
    additions: int = 0
    elementwise: int = 0
    window: Window | None = None
    reach: str = POINT
    axes: tuple[int, ...] | None = None
    view: bool = False

    def __add__(self, other):
        return dataclasses.replace(
            self,
            macs=self.macs + other.macs,
            additions=self.additions + other.additions,
            elementwise=self.elementwise + other.elementwise,
        )


def register_cost(kind, rule):
    """Teaches the profiler a layer or operation of somebody else's.

    A layer of one's own may have the method `profile_cost(input_shapes, output_shapes)` instead; it returns a `Cost`
    or a dictionary of its arguments. Or the attribute `profile_as`, the Keras layer that costs the same.

    Args:
        kind: subclass of `keras.layers.Layer` or `keras.Operation`; its own subclasses are meant too.
        rule: function (layer, input_shapes, output_shapes) that returns a `Cost` or a dictionary of its arguments;
            the shapes are lists of tuples of int, with the batch.

    Raises:
        TypeError: if `kind` is no class or `rule` no function.
    """
    if not isinstance(kind, type) or not callable(rule):
        raise TypeError(
            f"register_cost takes a class and a function (layer, input_shapes, output_shapes), not {kind!r}, {rule!r}"
        )
    _rules[kind] = rule


def named(*names):
    """Decorates the rule of Keras operations, whose classes are private: they are known by name."""
    return functools.partial(_name, names)


def _name(names, rule):
    _named.update(dict.fromkeys(names, rule))
    return rule


def rule_for(operation):
    """Returns the rule of a layer or operation, None where there is none: the nearest class's, as methods are found.

    A subclass of somebody else's that has a `call` of its own has no rule: it may do more than what it is made from.
    """
    for kind in type(operation).__mro__:
        own = vars(kind)
        if "profile_cost" in own:
            return declared
        if "profile_as" in own:
            return _rules[own["profile_as"]]
        if kind in _rules:
            return _rules[kind]
        if is_keras_operation(kind) and kind.__name__ in _named:
            return _named[kind.__name__]
        if "call" in own and not kind.__module__.startswith("keras."):
            return None
    return None


def declared(layer, inputs, outputs):
    """The rule of a layer that declares its cost beside its code."""
    return layer.profile_cost(inputs, outputs)


def cost_of(rule, operation, inputs, outputs):
    """Returns the `Cost` that a rule gives; `UnknownCost` where it gives something else."""
    given = rule(operation, inputs, outputs)
    if isinstance(given, dict):
        unknown = set(given) - {field.name for field in dataclasses.fields(Cost)}
        if unknown:
            raise UnknownCost(
                f"the cost of {operation.name} ({type(operation).__name__}) has {', '.join(sorted(unknown))}; "
                f"allowed are {', '.join(field.name for field in dataclasses.fields(Cost))}"
            )
        if isinstance(given.get("window"), dict):
            given = {**given, "window": Window(**given["window"])}
        given = Cost(**given)
    if not isinstance(given, Cost):
        raise UnknownCost(
            f"the rule of {operation.name} ({type(operation).__name__}) gives {given!r}, "
            "not a kapps.analysis.Cost or a dictionary of its arguments"
        )
    return given


def unknown(operation, why=""):
    """Returns the error for a layer without a rule; it says how to teach one."""
    kind = type(operation).__name__
    return UnknownCost(
        f"no rule for the cost of {operation.name} ({kind}){why}; give {kind} a method "
        "profile_cost(self, input_shapes, output_shapes) that returns {'macs': ..., 'additions': ..., "
        f"'elementwise': ...}}, or call kapps.analysis.register_cost({kind}, rule) with "
        "rule(layer, input_shapes, output_shapes)"
    )


def size(*shapes):
    """Returns the number of elements of all shapes together."""
    return sum(math.prod(shape) for shape in shapes)

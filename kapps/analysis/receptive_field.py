"""Receptive fields, carried through the graph: what of the model's input each unit of a tensor can see.

Along one axis of the input, the units of a tensor see intervals that follow each other at equal distances (Araujo
2019, "Computing receptive fields", distill.pub). Units of an enlarged map see more or fewer units of the map below,
by turns; the field is the largest. Where an enlarged map joins another it is an upper bound.
"""

import dataclasses
import math
from fractions import Fraction

from kapps.analysis.costs import FOLLOW, MIX, POINT, RESHAPE


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """The receptive field along one axis of the input, in its pixels or steps.

    Args:
        size: what one unit sees; what lies outside the input is padding.
        stride: distance of what two neighbouring units see; below 1 in maps larger than the input.
        offset: where what the first unit sees begins; negative in the padding.
    """

    size: int
    stride: float
    offset: int


@dataclasses.dataclass(frozen=True)
class Span:
    """What the units along one axis of a tensor see of one axis of the input.

    Args:
        low, high: ends of what the first unit sees, both seen.
        stride: to what the next unit sees.
        enlarged: None, or (a, b, t) above a map that was enlarged: low, high and stride are of that map, and unit i
            sees those of its units that lie from a + i t to b + i t.
        axis: of the tensor; None where none runs along the input's axis any more.
        whole: whether all units see the same.
        side: length of the input's axis.
    """

    low: Fraction
    high: Fraction
    stride: Fraction
    axis: int | None
    whole: bool
    side: int
    enlarged: tuple[Fraction, Fraction, Fraction] | None = None

    def field(self):
        """Returns it in pixels."""
        if self.enlarged is not None:
            a, b, t = self.enlarged
            seen = math.floor(b - a) * self.stride
            size, low = self.high - self.low + seen, self.low + math.ceil(a) * self.stride
            return ReceptiveField(math.floor(size) + 1, _plain(self.stride * t), math.ceil(low))
        low, high = math.ceil(self.low), math.floor(self.high)
        if self.whole:
            low, high = max(low, 0), min(high, self.side - 1)
            return ReceptiveField(high - low + 1, _plain(self.stride), low)
        return ReceptiveField(math.floor(self.high - self.low) + 1, _plain(self.stride), low)

    def flat(self):
        """Returns it without `enlarged`, as an interval that holds what is seen."""
        if self.enlarged is None:
            return self
        a, b, t = self.enlarged
        return dataclasses.replace(
            self,
            low=self.low + a * self.stride,
            high=self.high + b * self.stride,
            stride=self.stride * t,
            enlarged=None,
        )


def _plain(value):
    return int(value) if value == int(value) else float(value)


def start(shape, axes):
    """Returns the spans of a model's input: each unit sees itself."""
    return tuple(
        Span(Fraction(0), Fraction(0), Fraction(1), axis, False, shape[axis]) for axis in axes
    )


def carry(cost, inputs, output):
    """Returns the spans of an operation's output, None where they cannot be said, () where it sees no input.

    Args:
        cost: the operation's.
        inputs: list of (spans, shape) of what it is given.
        output: shape of what it gives.
    """
    inputs = [(spans, shape) for spans, shape in inputs if spans != ()]
    if not inputs:
        return ()
    if any(spans is None for spans, _ in inputs):
        return None
    through = [[_through(cost, span, shape, output) for span in spans] for spans, shape in inputs]
    # One span an axis of the model's input, from each of the operation's inputs.
    joined = [_join(each, output) for each in zip(*through, strict=True)]
    return None if None in joined else tuple(joined)


def _through(cost, span, shape, output):
    """Returns a span behind the operation, None where it cannot be said."""
    if cost.window is not None:
        return _slide(cost.window, span)
    if span.axis is None:
        return None if cost.reach not in (POINT, MIX, RESHAPE, FOLLOW) else span
    if cost.reach == FOLLOW:
        if span.axis in cost.axes:
            return dataclasses.replace(span, axis=cost.axes.index(span.axis))
        return _mix(span, shape[span.axis], None)
    if cost.reach == RESHAPE:
        return _reshape(span, shape, output)
    if cost.reach == MIX:
        axes = range(len(shape)) if cost.axes is None else cost.axes
        if len(output) == len(shape):
            axis = span.axis
        else:  # the axes that are joined are gone, and others move up
            axis = None if span.axis in axes else span.axis - sum(a < span.axis for a in axes)
        if cost.axes is None and axis is not None and output[axis] != shape[span.axis]:
            axis = None
        if span.axis in axes:
            return _mix(span, shape[span.axis], axis)
        return dataclasses.replace(span, axis=axis)
    if cost.reach == POINT:
        axis = span.axis + len(output) - len(shape)  # shapes are broadcast from their ends
        if 0 <= axis < len(output) and output[axis] == shape[span.axis]:
            return dataclasses.replace(span, axis=axis)
        if shape[span.axis] == 1:
            return dataclasses.replace(span, axis=axis, whole=True)
    return None


def _mix(span, units, axis):
    """Returns what all units see together."""
    span = span.flat()
    high = span.high if span.whole else span.high + (units - 1) * span.stride
    stride = span.stride if axis is not None else Fraction(span.side)
    return Span(span.low, high, stride, axis, True, span.side)


def _reshape(span, shape, output):
    """Follows an axis that keeps its length and what lies before it; others are joined."""
    before, units = math.prod(shape[: span.axis]), shape[span.axis]
    for axis in range(1, len(output)):
        if math.prod(output[:axis]) == before and output[axis] == units:
            return dataclasses.replace(span, axis=axis)
    if math.prod(shape) == shape[0] * units:  # a vector under another shape
        return None
    return _mix(span, units, None)


def _slide(window, span):
    """Returns what a window's units see: from the first to the last of its taps."""
    if span.axis not in window.axes:
        return span
    i = window.axes.index(span.axis)
    reach = (window.kernel[i] - 1) * window.dilation[i]
    step, before = window.strides[i], window.padding[i][0]
    if span.whole:
        factor = Fraction(1, step) if window.transposed else step
        return dataclasses.replace(span, stride=span.stride * factor)
    a, b, t = span.enlarged or (Fraction(0), Fraction(0), Fraction(1))
    if window.transposed:
        t = t / step
        a, b = a + (before - reach) * t, b + before * t
    else:
        a, b = a - before * t, b + (reach - before) * t
        t = t * step
    if t.denominator > 1:
        return dataclasses.replace(span, enlarged=(a, b, t))
    low, high = span.low + math.ceil(a) * span.stride, span.high + math.floor(b) * span.stride
    return dataclasses.replace(span, low=low, high=high, stride=span.stride * t, enlarged=None)


def _join(spans, output):
    """Returns what units see that are made of several tensors' units at the same place."""
    if any(span is None for span in spans):
        return None
    first, *others = spans
    for span in others:
        if span.enlarged != first.enlarged:
            first, span = first.flat(), span.flat()
        axes = {each.axis for each in (first, span)} - {None}
        if len(axes) > 1:
            return None
        axis = axes.pop() if axes else None
        if first.whole or span.whole:
            first, span = first.flat(), span.flat()
            ends = [_mix(each, _units(each, output), axis) for each in (first, span)]
            moving = span if first.whole else first
            low, high = min(end.low for end in ends), max(end.high for end in ends)
            first = Span(low, high, moving.stride, axis, True, first.side)
        elif span.stride != first.stride:
            return None
        else:
            low, high = min(first.low, span.low), max(first.high, span.high)
            first = dataclasses.replace(first, low=low, high=high)
    return first


def _units(span, output):
    return 1 if span.axis is None else output[span.axis]

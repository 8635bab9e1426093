"""Receptive fields: the part of the model's input that each unit of a tensor depends on.

Along one axis of the input, the units of a tensor see intervals at equal distances (Araujo 2019, "Computing receptive
fields", distill.pub). Units of an upsampled map see different numbers of units of the map below it; the receptive field
is the largest. If an upsampled map is added to another map, the result is an upper bound.
"""

import dataclasses
import math
from fractions import Fraction

from kapps.analysis.costs import FOLLOW, MIX, POINT, RESHAPE


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """The receptive field along one axis of the input, in pixels or time steps.

    Args:
        size: length of the interval that one unit sees, padding included.
        stride: distance between the intervals of two neighbouring units; below 1 in maps larger than the input.
        offset: start of the first unit's interval; negative in the padding.
    """

    size: int
    stride: float
    offset: int


@dataclasses.dataclass(frozen=True)
class Span:
    """The intervals of one axis of the input that the units along one axis of a tensor see.

    Args:
        low, high: ends of the first unit's interval, both included.
        stride: distance to the next unit's interval.
        axis: axis of the tensor; None if no axis of the tensor runs along the input's axis any more.
        whole: whether all units see the same interval.
        side: length of the input's axis.
        upsampling: None, or (a, b, t) in a map that was upsampled: low, high and stride are those of the map before
            upsampling, and unit i sees the units of that map from a + i t to b + i t.
    """

    low: Fraction
    high: Fraction
    stride: Fraction
    axis: int | None
    whole: bool
    side: int
    upsampling: tuple[Fraction, Fraction, Fraction] | None = None

    def receptive_field(self) -> ReceptiveField:
        """Returns the receptive field in pixels."""
        if self.upsampling is not None:
            a, b, t = self.upsampling
            size = self.high - self.low + math.floor(b - a) * self.stride
            low = self.low + math.ceil(a) * self.stride
            return ReceptiveField(math.floor(size) + 1, _plain(self.stride * t), math.ceil(low))
        low, high = math.ceil(self.low), math.floor(self.high)
        if self.whole:
            low, high = max(low, 0), min(high, self.side - 1)
            return ReceptiveField(high - low + 1, _plain(self.stride), low)
        return ReceptiveField(math.floor(self.high - self.low) + 1, _plain(self.stride), low)

    def without_upsampling(self) -> "Span":
        """Returns the span with `upsampling` replaced by a larger interval."""
        if self.upsampling is None:
            return self
        a, b, t = self.upsampling
        return dataclasses.replace(
            self,
            low=self.low + a * self.stride,
            high=self.high + b * self.stride,
            stride=self.stride * t,
            upsampling=None,
        )


def _plain(value):
    return int(value) if value == int(value) else float(value)


def input_spans(shape, axes):
    """Returns the spans of a model's input: each unit sees itself."""
    return tuple(
        Span(Fraction(0), Fraction(0), Fraction(1), axis, False, shape[axis]) for axis in axes
    )


def output_spans(cost, inputs, output_shape):
    """Returns the spans of an operation's output: None if they are not known, () if the output sees no input.

    Args:
        cost: the operation's `Cost`.
        inputs: list of (spans, shape) of its inputs.
        output_shape: shape of its output.
    """
    inputs = [(spans, shape) for spans, shape in inputs if spans != ()]
    if not inputs:
        return ()
    if any(spans is None for spans, _ in inputs):
        return None
    by_input = [
        [_propagate(cost, span, shape, output_shape) for span in spans] for spans, shape in inputs
    ]
    joined = [_join(spans, output_shape) for spans in zip(*by_input, strict=True)]
    return None if None in joined else tuple(joined)


def _propagate(cost, span, shape, output_shape):
    """Returns the span of one input after the operation, None if it is not known."""
    if cost.window is not None:
        return _slide(cost.window, span)
    if span.axis is None:
        return span if cost.reach in (POINT, MIX, RESHAPE, FOLLOW) else None
    if cost.reach == FOLLOW:
        if span.axis in cost.axes:
            return dataclasses.replace(span, axis=cost.axes.index(span.axis))
        return _mix(span, shape[span.axis], None)
    if cost.reach == RESHAPE:
        return _reshape(span, shape, output_shape)
    if cost.reach == MIX:
        return _mix_axes(cost.axes, span, shape, output_shape)
    if cost.reach == POINT:
        axis = span.axis + len(output_shape) - len(shape)  # broadcasting aligns the last axes
        if 0 <= axis < len(output_shape) and output_shape[axis] == shape[span.axis]:
            return dataclasses.replace(span, axis=axis)
        if shape[span.axis] == 1:
            return dataclasses.replace(span, axis=axis, whole=True)
    return None


def _mix_axes(axes, span, shape, output_shape):
    """Returns the span after all positions along some axes (None: all axes) are mixed."""
    mixed = range(len(shape)) if axes is None else axes
    if len(output_shape) == len(shape):
        axis = span.axis
    else:  # the mixed axes are gone, and the others move up
        axis = None if span.axis in mixed else span.axis - sum(a < span.axis for a in mixed)
    if axes is None and axis is not None and output_shape[axis] != shape[span.axis]:
        axis = None
    if span.axis in mixed:
        return _mix(span, shape[span.axis], axis)
    return dataclasses.replace(span, axis=axis)


def _mix(span, units, axis):
    """Returns the span of units that each see everything which `units` units see together."""
    span = span.without_upsampling()
    high = span.high if span.whole else span.high + (units - 1) * span.stride
    stride = span.stride if axis is not None else Fraction(span.side)
    return Span(span.low, high, stride, axis, True, span.side)


def _reshape(span, shape, output_shape):
    """Follows an axis that keeps its length and the product of the axes before it; other axes are mixed."""
    before, units = math.prod(shape[: span.axis]), shape[span.axis]
    for axis in range(1, len(output_shape)):
        if math.prod(output_shape[:axis]) == before and output_shape[axis] == units:
            return dataclasses.replace(span, axis=axis)
    if math.prod(shape) == shape[0] * units:  # a vector under another shape
        return None
    return _mix(span, units, None)


def _slide(window, span):
    """Returns the span after a window: from the first to the last position of its kernel."""
    if span.axis not in window.axes:
        return span
    i = window.axes.index(span.axis)
    reach = (window.kernel[i] - 1) * window.dilation[i]
    stride, before = window.strides[i], window.padding[i][0]
    if span.whole:
        factor = Fraction(1, stride) if window.transposed else stride
        return dataclasses.replace(span, stride=span.stride * factor)
    a, b, t = span.upsampling or (Fraction(0), Fraction(0), Fraction(1))
    if window.transposed:
        t = t / stride
        a, b = a + (before - reach) * t, b + before * t
    else:
        a, b = a - before * t, b + (reach - before) * t
        t = t * stride
    if t.denominator > 1:
        return dataclasses.replace(span, upsampling=(a, b, t))
    low, high = span.low + math.ceil(a) * span.stride, span.high + math.floor(b) * span.stride
    return dataclasses.replace(span, low=low, high=high, stride=span.stride * t, upsampling=None)


def _join(spans, output_shape):
    """Returns the span of units that depend on the units of several tensors at the same position."""
    if any(span is None for span in spans):
        return None
    joined, *others = spans
    for span in others:
        if span.upsampling != joined.upsampling:
            joined, span = joined.without_upsampling(), span.without_upsampling()
        axes = {joined.axis, span.axis} - {None}
        if len(axes) > 1:
            return None
        axis = axes.pop() if axes else None
        if joined.whole or span.whole:
            joined = _join_whole(joined, span, axis, output_shape)
        elif span.stride != joined.stride:
            return None
        else:
            low, high = min(joined.low, span.low), max(joined.high, span.high)
            joined = dataclasses.replace(joined, low=low, high=high)
    return joined


def _join_whole(first, second, axis, output_shape):
    """Returns the join of two spans, at least one of them whole."""
    first, second = first.without_upsampling(), second.without_upsampling()
    mixed = [_mix(span, _units(span, output_shape), axis) for span in (first, second)]
    along = [span for span in (first, second) if span.axis is not None] or [first]
    moving = along[-1] if along[0].whole else along[0]
    low, high = min(span.low for span in mixed), max(span.high for span in mixed)
    return Span(low, high, moving.stride, axis, True, first.side)


def _units(span, output_shape):
    return 1 if span.axis is None else output_shape[span.axis]

"""The networks of NAS-Bench-Macro (Su 2021, arXiv:2103.11922): eight layers with one of three blocks each."""

import re

from kapps._checked import checked
from kapps._values import short
from kapps.search.spaces.space import Cost, Decision, Space

DEPTHS = (2, 3, 3)
OPTIONS = ("identity", "3x3, expansion 3", "5x5, expansion 6")
BLOCKS = {"1": (3, 3), "2": (5, 6)}
"""Kernel size and expansion of the inverted residuals."""
FEATURES = 1280
"""Channels before the classifier."""
COLOURS = 3


class NASBenchMacro(Space):
    """The space of NAS-Bench-Macro: 6,561 networks of eight layers, written as eight digits from 0 to 2.

    Args:
        filters: channels of the stem.
        side: height and width of the images in pixels.
        classes: number of classes.
    """

    @checked
    def __init__(self, *, filters: int = 32, side: int = 32, classes: int = 10):
        self.filters, self.side, self.classes = filters, side, classes
        self.name = f"nasbench_macro(filters={filters}, side={side}, classes={classes})"
        self.decisions = tuple(Decision(f"layer {i}", OPTIONS) for i in range(1, sum(DEPTHS) + 1))
        self.steps = (2, 5, 8)  # one stage after the other

    def digits(self, cell):
        if not isinstance(cell, str) or not re.fullmatch(r"[012]{8}", cell):
            raise ValueError(
                f"cell={short(cell)} is not a network of NAS-Bench-Macro: eight digits from 0 to 2"
            )
        return tuple(map(int, cell))

    def cell(self, digits):
        return "".join(map(str, digits))

    def complete(self, prefix):
        """Later layers are identities."""
        return (*prefix, *[0] * (len(self.decisions) - len(prefix)))

    def cost(self, cell):
        digits = iter("".join(map(str, self.digits(cell))))
        channels, side = self.filters, self.side
        total = _conv_bn(9 * COLOURS, channels, side)
        for depth in DEPTHS:
            for i in range(depth):
                total += _layer(
                    next(digits), channels, channels * (2 if i == 0 else 1), side, 1 + (i == 0)
                )
                if i == 0:
                    channels, side = 2 * channels, (side + 1) // 2
        total += _conv_bn(channels, FEATURES, side)
        parameters, macs = total
        return Cost(parameters + (FEATURES + 1) * self.classes, macs + FEATURES * self.classes)

    def build(self, cell, **options):
        """Returns `kapps.families.nasbench_macro` of a cell; `options` are further arguments of it."""
        from kapps.cnn import nasbench_macro  # Keras, which methods do not need

        self.digits(cell)
        shape = (self.side, self.side, COLOURS)
        defaults = dict(input_shape=shape, classes=self.classes, filters=self.filters)
        return nasbench_macro.body(blocks=cell, **{**defaults, **options})


class _Sum(tuple):
    """(parameters, multiply-accumulates), added item by item."""

    __slots__ = ()

    def __add__(self, other):
        return _Sum((self[0] + other[0], self[1] + other[1]))


def _conv_bn(weights, filters, side):
    """Returns the figures of a convolution with `weights` of each filter, and its batch norm."""
    return _Sum((weights * filters + 2 * filters, weights * filters * side**2))


def _layer(digit, before, after, side, strides):
    """Returns the figures of a layer from `before` to `after` channels, on a map of `side`."""
    out = (side + strides - 1) // strides
    if digit not in BLOCKS:
        return _conv_bn(before, after, out) if strides > 1 else _Sum((0, 0))
    kernel_size, expansion = BLOCKS[digit]
    inner = expansion * before
    figures = _conv_bn(before, inner, side) + _conv_bn(kernel_size**2, inner, out)
    return figures + _conv_bn(inner, after, out)

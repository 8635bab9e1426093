"""The complexity of an AnyNet or RegNet by arithmetic, without building it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kapps.cnn.anynet import compatible_stage
from kapps.cnn.regnet import quantised_stages


@dataclasses.dataclass(frozen=True)
class Complexity:
    """The figures of a network that design spaces are limited by.

    Args:
        parameters: trainable parameters.
        macs: multiply-accumulates of convolutions and dense layers on one image. pycls's "flops" also count the biases.
        activations: elements of the outputs of convolutions. pycls's "acts" also count those of the classifier.
    """

    parameters: int = 0
    macs: int = 0
    activations: int = 0

    def __add__(self, other):
        return Complexity(
            self.parameters + other.parameters,
            self.macs + other.macs,
            self.activations + other.activations,
        )

    def times(self, count: int) -> "Complexity":
        """Returns the figures of `count` equal parts."""
        return Complexity(count * self.parameters, count * self.macs, count * self.activations)


def complexity(
    options: Mapping[str, Any],
    *,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
) -> Complexity:
    """Returns the figures of `kapps.profile` of a network, without building it.

    Args:
        options: of `kapps.families.anynet` or of `kapps.families.regnet`.
        input_shape: (height, width, channels).
        classes: width of the classifier.
    """
    options = {key: value for key, value in options.items() if key != "space"}
    se_ratio, stem = options.pop("se_ratio", 0.0), options.pop("stem", 32)
    if "w_0" in options:
        stages = quantised_stages(**options)
    else:
        rows = zip(
            options["widths"], options["depths"], options["group_widths"], options["bottlenecks"], strict=True
        )  # fmt: skip
        stages = [compatible_stage(*row) for row in rows]
    height, width, channels = input_shape
    height, width = _half(height), _half(width)
    figures = _conv_bn(height * width, 9 * channels, stem)
    channels = stem
    for stage in stages:
        before, height, width = height * width, _half(height), _half(width)
        after = height * width
        figures += _block(before, after, channels, stage, se_ratio)
        figures += _conv_bn(after, channels, stage.width)  # the shortcut
        channels = stage.width
        figures += _block(after, after, channels, stage, se_ratio).times(stage.depth - 1)
    return figures + Complexity(channels * classes + classes, channels * classes)


def _half(side):
    """Returns the side of a map after strides of 2."""
    return (side + 1) // 2


def _conv_bn(pixels, weights, filters, norm=True):
    """Returns the figures of a convolution with `weights` of each filter, and of its batch norm or its biases."""
    biases = 2 * filters if norm else filters
    return Complexity(
        weights * filters + biases, pixels * weights * filters, pixels * filters
    )  # fmt: skip


def _block(before, after, channels, stage, se_ratio):
    """Returns the figures of an X block's branch, of maps of `before` and `after` pixels."""
    inner, squeezed = stage.width // stage.bottleneck, round(se_ratio * channels)
    figures = _conv_bn(before, channels, inner)
    figures += _conv_bn(after, 9 * stage.group_width, inner)
    if squeezed:
        figures += _conv_bn(1, inner, squeezed, norm=False)
        figures += _conv_bn(1, squeezed, inner, norm=False)
    return figures + _conv_bn(after, inner, stage.width)

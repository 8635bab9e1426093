"""Samples of the design spaces AnyNet A to E, RegNetX and RegNetY within a range of complexity."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kapps._checked import checked
from kapps._names import nearest
from kapps._values import is_integer, is_number, short
from kapps.cnn import anynet, regnet
from kapps.search.design_space.complexity import Complexity, complexity

SPACES = (*anynet.SPACES, "RegNetX", "RegNetY")
"""AnyNet A to E of Radosavovic 2020, arXiv:2003.13678, and its RegNets without and with SE blocks."""
MOST_DRAWS = 100_000
"""The most draws for one network."""
MOST_STAGES = 16


@dataclasses.dataclass(frozen=True)
class Sample:
    """A network of a design space.

    Args:
        space: one of `SPACES`.
        options: of `kapps.families.anynet` or `kapps.families.regnet`.
        complexity: its figures for `input_shape` and `classes`.
        input_shape: (height, width, channels).
        classes: width of the classifier.
    """

    space: str
    options: dict[str, Any]
    complexity: Complexity
    input_shape: tuple[int, ...]
    classes: int

    def build(self, **arguments) -> keras.Model:
        """Returns the network, with further arguments of the family function."""
        family = regnet if self.space.startswith("RegNet") else anynet
        return family.body(
            **{
                "input_shape": self.input_shape,
                "classes": self.classes,
                **self.options,
                **arguments,
            }
        )


@checked
def sample(
    space: str,
    count: int,
    *,
    macs: Sequence[float] | None = None,
    parameters: Sequence[float] | None = None,
    activations: Sequence[float] | None = None,
    seed: int = 0,
    stages: int = 4,
    depth: Sequence[int] | None = None,
    width: Sequence[int] | None = None,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
) -> list[Sample]:
    """Returns sampled networks of a design space, those of a seed always the same.

    AnyNet: depths and widths are log-uniform, bottleneck ratios and group widths uniform powers of two, as in the
    paper. D and E sort the widths and depths of such a draw. RegNet: pycls's distributions, in the paper's limits; a
    draw counts if it has as many stages as steps of its line of widths.

        design_space.sample("C", 500, macs=(360e6, 400e6), seed=1)

    Args:
        space: "A" to "E", "RegNetX" or "RegNetY".
        count: number of networks.
        macs: (least, most) multiply-accumulates; None for any.
        parameters: (least, most) trainable parameters; None for any.
        activations: (least, most) elements of the outputs of convolutions; None for any.
        seed: of the draws. The random stream is one that NumPy never changes.
        stages: number of stages.
        depth: (least, most) blocks of a stage of AnyNet, by default (1, 16); of a RegNet, by default (stages, 63). The
            default is also the limit.
        width: (least, most) channels of a stage of AnyNet, by default (8, 1024); w_0 and w_a of RegNet, by default (8,
            255). The default is also the limit.
        input_shape: (height, width, channels).
        classes: width of the classifier.

    Raises:
        ValueError: for another space, a range without values, and if no network within the ranges is among 100,000
            draws.
    """
    depth, width = limits(space, stages, depth, width, input_shape)
    ranges = {"parameters": parameters, "macs": macs, "activations": activations}
    ranges = {key: limit(key, values) for key, values in ranges.items() if values is not None}
    draw = _draw_regnet if space.startswith("RegNet") else _draw_anynet
    random, samples, draws = np.random.RandomState((seed % 2**32, seed >> 32)), [], 0
    while len(samples) < count:
        draws += 1
        if draws > MOST_DRAWS:
            text = (
                ", ".join(f"{key}={values}" for key, values in ranges.items()) or f"stages={stages}"
            )
            raise ValueError(
                f"space {space}: none of {MOST_DRAWS:,} draws has {text}; widen the ranges, or pass other limits in "
                "depth= and width="
            )
        options = draw(random, space, stages, depth, width)
        if options is None:
            continue
        figures = complexity(options, input_shape=input_shape, classes=classes)
        if all(least <= getattr(figures, key) <= most for key, (least, most) in ranges.items()):
            samples.append(Sample(space, options, figures, tuple(input_shape), classes))
            draws = 0
    return samples


def limits(space, stages, depth, width, input_shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns (least, most) of the depths and of the widths of a space, its defaults in place of None.

    Raises:
        ValueError: as `sample`.
    """
    if space not in SPACES:
        raise ValueError(
            f"space={space!r} is not one of {', '.join(SPACES)}.{nearest(space, SPACES)}"
        )
    if not is_integer(stages, 1, MOST_STAGES):
        raise ValueError(f"stages={short(stages)} is not an integer from 1 to {MOST_STAGES}")
    if len(input_shape) != 3 or not all(is_integer(side) for side in input_shape):
        raise ValueError(
            f"input_shape={short(input_shape)} is not (height, width, channels), for example (224, 224, 3)"
        )
    line = space.startswith("RegNet")
    most = (63, 255) if line else (16, 1024)  # blocks and channels of the paper's spaces
    depth = limit("depth", (stages if line else 1, most[0]) if depth is None else depth, most[0])
    width = limit("width", (8, most[1]) if width is None else width, most[1])
    if width[0] > width[1] // 8 * 8:
        raise ValueError(f"width={width} has no multiple of 8; pass one, such as (8, 64)")
    return depth, width


def limit(name, values, most=None) -> tuple:
    """Returns (least, most) as a tuple; with `most` they are integers up to it.

    Raises:
        ValueError: for other values.
    """
    allowed = all(is_number(x) if most is None else is_integer(x, 1, most) for x in values)
    if len(values) != 2 or not allowed or not 0 < values[0] <= values[1]:
        text = "" if most is None else f", integers to {most:,}"
        raise ValueError(f"{name}={short(values)} is not (least, most), such as (8, 64){text}")
    return tuple(values)


def _draw_anynet(random, space, stages, depth, width):
    """Returns the options of a network of AnyNet."""
    numbers, place = random.random_sample((4, stages)), anynet.SPACES.index(space)
    depths = [int(log_uniform(x, *depth, 1)) for x in numbers[0]]
    widths = [int(log_uniform(x, *_multiples_of_8(width), 8)) for x in numbers[1]]
    bottlenecks = [power_of_two(x, 1, 4) for x in numbers[2]]
    group_widths = [power_of_two(x, 1, 32) for x in numbers[3]]
    return {
        "depths": tuple(sorted(depths) if place >= 4 else depths),
        "widths": tuple(sorted(widths) if place >= 3 else widths),
        "bottlenecks": tuple(bottlenecks[:1] * stages if place >= 1 else bottlenecks),
        "group_widths": tuple(group_widths[:1] * stages if place >= 2 else group_widths),
        "space": space,
    }


def _draw_regnet(random, space, stages, depth, width):
    """Returns the options of a RegNet, or None for a draw with other stages."""
    numbers, (least, most) = random.random_sample(6), depth
    options = {
        "w_0": int(log_uniform(numbers[0], *_multiples_of_8(width), 8)),
        "w_a": round(log_uniform(numbers[1], *width, 0.1), 1),
        "w_m": round(log_uniform(numbers[2], 1.5, 3, 0.001), 3),
        "d": int(least + numbers[3] * (most - least + 1)),
        "group_width": power_of_two(numbers[4], 1, 32),
        "bottleneck": power_of_two(numbers[5], 1, 4),
        "se_ratio": 0.25 if space == "RegNetY" else 0.0,
    }
    w_0, w_a, w_m, d = (options[key] for key in ("w_0", "w_a", "w_m", "d"))
    steps = round(math.log((w_0 + w_a * (d - 1)) / w_0, w_m)) + 1
    if steps != stages:
        return None
    se_ratio = options.pop("se_ratio")
    counts = len(regnet.quantised_stages(**options))
    return {**options, "se_ratio": se_ratio} if counts == stages else None


def _multiples_of_8(width):
    return -(-width[0] // 8) * 8, width[1] // 8 * 8


def log_uniform(number, least, most, step):
    """Returns a multiple of `step` from least to most, log-uniform for a uniform number in [0, 1), as in pycls."""
    low, high = math.log(least - min(step, least / 2)), math.log(most)
    return step * math.ceil(math.exp(high - number * (high - low)) / step)


def power_of_two(number, least, most):
    """Returns a power of two from least to most, each as likely, for a uniform number in [0, 1)."""
    return least * 2 ** int(number * (math.log2(most / least) + 1))

"""AnyNet: networks of X blocks whose stages have any depth, width, bottleneck ratio and group width.

[1] Radosavovic 2020, arXiv:2003.13678, section 3.2, and its authors' code, pycls
[2] Zhang 2021, arXiv:2106.11342 (Dive into Deep Learning), section 8.8

The design spaces A to E of [1] restrict the parameters of the stages; `space` says which restrictions are checked. As in
pycls, a width is rounded so that groups and bottleneck divide it, after the check. Blocks are not the identity at first
(no zero-initialised gamma), as in torchvision: for a small image the shortcuts, which skip pixels, would see only one
corner.

`d2l_regnetx32` is the RegNetX-32 of [2]. Departure: its convolutions have no biases, which the batch norms after them
would remove; those of [2] have.
"""

from functools import partial
from typing import NamedTuple

from kapps.builders import image_family, levels, variant
from kapps.cnn.resnet import residual
from kapps.layers import conv_bn, squeeze_excite
from kapps.preprocessing import Preprocessing

ZHANG = "arXiv:2106.11342"

SPACES = ("A", "B", "C", "D", "E")
"""The design spaces of [1]; each has the restrictions of those before it."""
LIMITS = {
    "depths": (range(1, 17), "integers from 1 to 16"),
    "widths": (range(8, 1025, 8), "multiples of 8 to 1,024"),
    "bottlenecks": ((1, 2, 4), "1, 2 or 4"),
    "group_widths": ((1, 2, 4, 8, 16, 32), "powers of 2 to 32"),
}
"""What the parameters of a stage may be in space A, and in words."""


def are_equal(values):
    """Returns whether all values are equal."""
    return len(set(values)) == 1


def do_not_decrease(values):
    """Returns whether no value is smaller than the one before it."""
    return list(values) == sorted(values)


RESTRICTIONS = (
    ("bottlenecks", are_equal),
    ("group_widths", are_equal),
    ("widths", do_not_decrease),
    ("depths", do_not_decrease),
)
"""The restrictions that spaces B, C, D and E add."""


class Stage(NamedTuple):
    """A stage of X blocks: their output channels, their number, the channels of a group, the bottleneck ratio."""

    width: int
    depth: int
    group_width: int
    bottleneck: int = 1


def compatible_stage(width, depth, group_width, bottleneck=1):
    """Returns the stage whose groups and bottleneck divide the width, as in pycls.

    A group has at most all channels of the 3x3. These are rounded to the nearest multiple of the group width.
    """
    inner = max(width // bottleneck, 1)
    group_width = min(group_width, inner)
    inner = group_width * max(round(inner / group_width), 1)
    return Stage(inner * bottleneck, depth, group_width, bottleneck)


def check_space(space, **parameters):
    """Raises ValueError for parameters that are not in a design space, in one line.

    Args:
        space: "A" to "E", or "any" for no restriction.
        **parameters: depths, widths, bottlenecks and group_widths, one value for each stage.
    """
    if space not in (*SPACES, "any"):
        raise ValueError(f'space={space!r} is not one of {", ".join(SPACES)} or "any"')
    counts = {len(values) for values in parameters.values()}
    if counts == {0} or len(counts) > 1:
        raise ValueError(
            f"{_text(parameters)}: each has one value for each stage, such as (1, 2, 4, 4)"
        )
    if space == "any":
        return
    for name, (allowed, words) in LIMITS.items():
        if not set(parameters[name]) <= set(allowed):
            raise ValueError(
                f"{name}={tuple(parameters[name])}: in space {space} they are {words}; "
                'space="any" has no restriction'
            )
    for before, (name, test) in zip(SPACES[: SPACES.index(space)], RESTRICTIONS, strict=False):
        if not test(parameters[name]):
            raise ValueError(
                f"{name}={tuple(parameters[name])}: in space {space} they {test.__name__.replace('_', ' ')}; "
                f'pass such values, or space="{before}"'
            )


def _text(parameters):
    return ", ".join(f"{name}={tuple(values)}" for name, values in parameters.items())


def x_block(x, stage, *, strides, se_ratio, name):
    """The X block's branch: 1x1 to width / bottleneck ratio, 3x3 in groups, SE block, 1x1 to the width.

    The SE block has `se_ratio` times as many inner channels as x has channels.
    """
    inner, se_filters = stage.width // stage.bottleneck, round(se_ratio * x.shape[-1])
    groups = inner // stage.group_width
    x = conv_bn(x, inner, 1, activation="relu", name=f"{name}_conv1")
    x = conv_bn(
        x, inner, 3, strides=strides, groups=groups, activation="relu", name=f"{name}_conv2"
    )
    if se_filters:
        x = squeeze_excite(x, se_filters, name=f"{name}_se")
    return conv_bn(x, stage.width, 1, name=f"{name}_conv3")


def stem_and_stages(x, stages, *, stem, se_ratio):
    """Returns the features of a 3x3 stem of `stem` channels and of the stages, each with strides of 2."""
    x = conv_bn(x, stem, 3, strides=2, activation="relu", name="stem_conv")
    for level, strides, name in levels([stage.depth for stage in stages], strides=2):
        block = partial(x_block, stage=stages[level - 2], se_ratio=se_ratio)
        x = residual(x, block, strides=strides, name=name)
    return x


@image_family(minimum=32)
def body(x, *, depths, widths, bottlenecks, group_widths, se_ratio=0.0, stem=32, space="A"):
    """Builds AnyNet. The parameters of the stages are those of [1], four tuples of one value for each stage.

    Args:
        depths: number of blocks, d of [1].
        widths: output channels of the blocks, w of [1].
        bottlenecks: ratio of the output channels to those of the 3x3, b of [1].
        group_widths: channels of a group of the 3x3, g of [1].
        se_ratio: ratio of SE channels to the block's input channels; 0 for no SE blocks.
        stem: channels of the stem.
        space: design space whose restrictions are checked. "A": at most 16 blocks, widths that are multiples of 8 to
            1,024, ratios of 1, 2 or 4, group widths that are powers of 2 to 32; "B": also one ratio; "C": also one
            group width; "D": also widths that do not decrease; "E": also depths that do not decrease; "any": no
            restriction.
    """
    parameters = {
        "depths": depths,
        "widths": widths,
        "bottlenecks": bottlenecks,
        "group_widths": group_widths,
    }
    check_space(space, **parameters)
    rows = zip(widths, depths, group_widths, bottlenecks, strict=True)
    stages = [compatible_stage(*row) for row in rows]
    return stem_and_stages(x, stages, stem=stem, se_ratio=se_ratio)


PIXELS = Preprocessing(size=(96, 96), crop=1.0, mean=(0.0,), std=(1.0,))
"""Grey images as [2] takes them: enlarged to 96 pixels, values in [0, 1]."""

# fmt: off
#                                              blocks, channels, bottleneck ratio and group width of the stages                                               trainable parameters and multiply-accumulates
d2l_regnetx32 = variant(body, "d2l_regnetx32", depths=(4, 6), widths=(32, 80), bottlenecks=(1, 1), group_widths=(16, 16), space="E", preprocessing=PIXELS, shape=(96, 96, 1), classes=10, paper=ZHANG, params=177_322, macs=40_293_152)
# fmt: on

"""Levels and blocks: the part of a network that a row of a profile belongs to, and the colour of a level."""

import math
import re

LEVEL_COLOURS = ("#4e79a7", "#76b7b2", "#59a14f", "#edc948", "#f28e2b", "#e15759", "#b07aa1", "#9c755f")  # fmt: skip
"""Colours of levels 0, 1, 2 ..., from the input's resolution downwards."""
HEAD_COLOUR = "#7f7f7f"
"""Colour of rows without a feature map."""

PART = re.compile(r"(?:^|/)(stem|level(\d+)|head)(?:_|/|$)")
BLOCK = re.compile(
    r"((?:^|.*?/)[^/]*?(?:block|unit|cell|node|mixed|expanded_conv)_?\d+[a-z]?)(?=_|/|$)",
    re.IGNORECASE,
)


def level(name: str, outputs: tuple, sides: dict[int, int]) -> int | None:
    """Returns the level of a row: level n has 1 / 2**n of the input's resolution.

    The level is read from the name if the name has the form of kapps's builders ("level3_block2_conv1"), and
    otherwise computed from the output's shape.

    Args:
        name: the row's name.
        outputs: shapes of its outputs.
        sides: lengths of the input's spatial axes, by axis.

    Returns:
        The level, or None if the output is not a feature map.
    """
    part = PART.search(name)
    if part is not None and part[1] != "stem":
        return int(part[2]) if part[2] else None
    if not outputs or not sides or len(outputs[0]) < len(sides) + 2:
        return None
    ratios = [side / outputs[0][axis] for axis, side in sides.items() if outputs[0][axis]]
    ratio = max(ratios, default=1)
    if all(outputs[0][axis] == 1 for axis in sides) and ratio > 1:
        return None
    return max(round(math.log2(ratio)), 0)


def block(name: str) -> str:
    """Returns the name of the block that a row belongs to; the row's own name if it belongs to none."""
    match = BLOCK.match(name)
    if match is not None:
        return match[1]
    part = PART.search(name)
    if part is not None and not part[2]:
        return name[: part.end(1)]
    return name.rpartition("/")[0] or name

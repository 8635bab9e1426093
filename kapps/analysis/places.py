"""Where a row stands: its level and its block, by its name and its map."""

import math
import re

PLACE = re.compile(r"(?:^|/)(stem|level(\d+)|head)(?:_|/|$)")
BLOCK = re.compile(
    r"((?:^|.*?/)[^/]*?(?:block|unit|cell|mixed|expanded_conv)_?\d+[a-z]?)(?=_|/|$)", re.IGNORECASE
)


def level(name, outputs, sides):
    """Returns the level that a row stands at: by its name where a kapps builder gave it, else by its map's size.

    Args:
        name: the row's.
        outputs: shapes of its outputs.
        sides: the input's lengths along its spatial axes, by axis of the tensor.
    """
    place = PLACE.search(name)
    if place is not None and place[1] != "stem":
        return int(place[2]) if place[2] else None
    if not outputs or not sides or len(outputs[0]) < len(sides) + 2:
        return None
    ratios = [side / outputs[0][axis] for axis, side in sides.items() if outputs[0][axis]]
    ratio = max(ratios, default=1)
    if all(outputs[0][axis] == 1 for axis in sides) and ratio > 1:
        return None
    return max(round(math.log2(ratio)), 0)


def block(name):
    """Returns the name of the block that a row belongs to."""
    found = BLOCK.match(name)
    if found is not None:
        return found[1]
    place = PLACE.search(name)
    if place is not None and not place[2]:
        return name[: place.end(1)]
    return name.rpartition("/")[0] or name

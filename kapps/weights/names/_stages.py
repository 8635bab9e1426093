"""The place of a block in its stage, for libraries that number the blocks of each stage."""

import re
from collections.abc import Sequence

BLOCK = r"(level\d)_block(\d+)_(\w+)"


def block_part(layer: str) -> tuple[int, int, str]:
    """Returns (level, block, part) of a layer "level<n>_block<m>_<part>"."""
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    return int(level), int(block), part


def place(
    layer: str, names: Sequence[str], first: Sequence[str] = ()
) -> tuple[int, int, str]:  # fmt: skip
    """Returns (stage, block, part) of a layer "level<n>_block<m>_<part>", with stages and blocks numbered from 0.

    A stage begins where the level changes, and where a block is not added to its input: its channels differ.

    Args:
        layer: name of the layer.
        names: names of all layers of the model, in their order.
        first: other blocks that begin a stage, such as "level4_block5".
    """
    *block, part = re.fullmatch(BLOCK, layer).groups()
    matches = [re.fullmatch(BLOCK, name) for name in names]
    blocks = dict.fromkeys((match[1], match[2]) for match in matches if match)
    stage, index = -1, 0
    for level, number in blocks:
        name = f"{level}_block{number}"
        begins = number == "1" or f"{name}_add" not in names or name in first
        stage, index = (stage + 1, 0) if begins else (stage, index + 1)
        if [level, number] == block:
            return stage, index, part
    raise ValueError(f"{layer} is not among the names of all layers")

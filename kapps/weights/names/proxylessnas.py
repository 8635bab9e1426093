"""ProxylessNAS."""

import re

ENDS = {
    "stem_conv": "features.init_block.conv",
    "stem_conv_bn": "features.init_block.bn",
    "level5_conv": "features.final_block.conv",
    "level5_conv_bn": "features.final_block.bn",
    "head_logits": "output",
}
PARTS = {"expand": "bc_conv", "depthwise": "dw_conv", "project": "pw_conv"}
UNITS = {("3", 2): (1, 4), ("4", 5): (1, 4, 5, 7, 8), ("4", 6): (1, 4, 5, 6, 7, 8)}
"""Numbers of the units of a level with so many blocks: pytorchcv counts units that are only the identity."""


def pytorchcv(layer: str, names: list[str]) -> str:
    """Names as in `pytorchcv.models.proxylessnas`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    blocks = sum(bool(re.fullmatch(rf"level{level}_block\d+_project", name)) for name in names)
    units = UNITS.get((level, blocks), range(1, blocks + 1))
    kind = "bn" if part.endswith("_bn") else "conv"
    unit = f"features.stage{level}.unit{units[int(block) - 1]}"
    return f"{unit}.body.{PARTS[part.removesuffix('_bn')]}.{kind}"

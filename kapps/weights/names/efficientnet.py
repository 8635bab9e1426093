"""EfficientNet."""

import math
import re

ENDS = {
    "stem_conv": "conv_stem",
    "stem_conv_bn": "bn1",
    "level5_conv": "conv_head",
    "level5_conv_bn": "bn2",
    "head_logits": "classifier",
}
PARTS = {
    "expand": "conv_pw",
    "expand_bn": "bn1",
    "depthwise": "conv_dw",
    "depthwise_bn": "bn2",
    "se_reduce": "se.conv_reduce",
    "se_expand": "se.conv_expand",
    "project": "conv_pwl",
    "project_bn": "bn3",
}
PADDING = {"timm": None}
"""timm's `efficientnet_b0` and `tf_efficientnet_b0` have the same names and another padding."""
UNEXPANDED = PARTS | {"depthwise_bn": "bn1", "project": "conv_pw", "project_bn": "bn2"}


def timm(layer: str, names: list[str]) -> str:
    """Names as in timm's tf_efficientnet_b0 to b7."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    stage, index = int(level) - 1, int(block) - 1
    # Levels 4 and 5 hold two stages. Those of level 4 have equal depths; the last of level 5 has the depth of level 1.
    first = {"4": _blocks("4", names) // 2, "5": _blocks("5", names) - _blocks("1", names)}
    if level == "5":
        stage += 1
    if index >= first.get(level, math.inf):
        stage, index = stage + 1, index - first[level]
    parts = UNEXPANDED if level == "1" else PARTS
    return f"blocks.{stage}.{index}.{parts[part]}"


def _blocks(level, names):
    return sum(bool(re.fullmatch(rf"level{level}_block\d+_depthwise", name)) for name in names)

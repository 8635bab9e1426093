"""MobileNet V2."""

import re

from kapps.weights.names import efficientnet

ENDS = {
    "stem_conv": "features.0.0",
    "stem_conv_bn": "features.0.1",
    "level5_conv": "features.18.0",
    "level5_conv_bn": "features.18.1",
    "head_logits": "classifier.1",
}
FIRST = {"1": 1, "2": 2, "3": 4, "4": 7, "5": 14}
"""torchvision's number of each level's first block."""
PARTS = {
    "expand": "0.0",
    "expand_bn": "0.1",
    "depthwise": "1.0",
    "depthwise_bn": "1.1",
    "project": "2",
    "project_bn": "3",
}
UNEXPANDED = {"depthwise": "0.0", "depthwise_bn": "0.1", "project": "1", "project_bn": "2"}
STAGES = {"1": (0, 1), "2": (1, 2), "3": (2, 3), "4": (3, 4), "5": (5, 3)}
"""By level: timm's first stage and its number of blocks; further blocks belong to the next stage."""


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.mobilenetv2`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    parts = UNEXPANDED if level == "1" else PARTS
    return f"features.{FIRST[level] + int(block) - 1}.conv.{parts[part]}"


def timm(layer: str) -> str:
    """Names as of `mobilenetv2_100` in `timm.models.efficientnet`, with the names of EfficientNet."""
    if layer in efficientnet.ENDS:
        return efficientnet.ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    stage, blocks = STAGES[level]
    later, number = divmod(int(block) - 1, blocks)
    parts = efficientnet.UNEXPANDED if level == "1" else efficientnet.PARTS
    return f"blocks.{stage + later}.{number}.{parts[part]}"

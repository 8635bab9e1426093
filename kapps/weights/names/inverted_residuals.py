"""MobileNet V2."""

import re

ENDS = {
    "tail_conv": "features.0.0",
    "tail_conv_bn": "features.0.1",
    "level5_conv": "features.18.0",
    "level5_conv_bn": "features.18.1",
    "head_logits": "classifier.1",
}
FIRST = {"1": 1, "2": 2, "3": 4, "4": 7, "5": 14}
"""The index there of each level's first block."""
PARTS = {
    "expand": "0.0",
    "expand_bn": "0.1",
    "depthwise": "1.0",
    "depthwise_bn": "1.1",
    "project": "2",
    "project_bn": "3",
}
UNEXPANDED = {"depthwise": "0.0", "depthwise_bn": "0.1", "project": "1", "project_bn": "2"}


def torchvision(layer):
    """Names as in `torchvision.models.mobilenetv2`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    parts = UNEXPANDED if level == "1" else PARTS
    return f"features.{FIRST[level] + int(block) - 1}.conv.{parts[part]}"

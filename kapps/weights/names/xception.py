"""Xception."""

import re

BLOCKS = {"2": 1, "3": 2, "4": 3, "5": 12}
"""By level: the difference of a block's number there and here."""
SHORTCUTS = {"2": 1, "3": 2, "4": 3, "5": 4}
KERAS = {"xception": "Xception"}
BLUE_FIRST = False
PADDING = {"keras": "same"}


def keras(layer: str) -> str:
    """Names as in `keras.applications.xception`, where a separable convolution is one layer."""
    if layer == "head_logits":
        return "predictions"
    layer = layer.removesuffix("_depthwise")
    norm = "_bn" if layer.endswith("_bn") else ""
    layer = layer.removesuffix("_bn")
    if layer.startswith("stem_"):
        return f"block1_{layer[5:]}{norm}"
    level, block, part = re.fullmatch(r"level(\d)_(?:block(\d+)_)?(\w+)", layer).groups()
    if part == "shortcut":
        return f"{'batch_normalization' if norm else 'conv2d'}:{SHORTCUTS[level]}"
    number = 14 if block is None else BLOCKS[level] + int(block)
    return f"block{number}_sep{part}{norm}"

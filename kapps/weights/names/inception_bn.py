"""Inception-BN."""

import re

STEM = {"stem_conv1": "conv1", "stem_conv2": "conv2.conv1", "stem_conv3": "conv2.conv2"}
PARTS = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.conv1",
    "3x3": "branch2.conv2",
    "double_reduce": "branch3.conv1",
    "double1": "branch3.conv2",
    "double2": "branch3.conv3",
    "pool_proj": "branch4.conv",
}


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.bninception`."""
    if layer == "head_logits":
        return "output"
    part = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    if layer in STEM:
        return f"features.init_block.{STEM[layer]}.{part}"
    level, block, branch = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    branch = PARTS[branch]
    if level != "3" and block == "1":  # modules with strides of 2 have no first branch
        branch = {"branch2": "branch1", "branch3": "branch2"}[branch[:7]] + branch[7:]
    return f"features.stage{int(level) - 2}.unit{block}.branches.{branch}.{part}"

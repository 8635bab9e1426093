"""Inception-v4."""

import re

BRANCHES = {
    "21": {"conv1": "conv"},
    "22": {"3x3_1": "branch0.0", "3x3_last": "branch0.1", "7x7_last": "branch1.3", "7x7_": "branch1."},
    "31": {"conv1": "conv"},
    "41": {"3x3_1": "branch0", "double_": "branch1."},
    "51": {"3x3_": "branch0.", "7x7_": "branch1."},
    "3": {"1x1_1": "branch0", "3x3_": "branch1.", "double_": "branch2.", "pool_conv1": "branch3.1"},
    "4": {"1x1_1": "branch0", "7x7_": "branch1.", "double_": "branch2.", "pool_conv1": "branch3.1"},
    "5": {
        "1x1_1": "branch0",
        "3x3_1": "branch1_0",
        "3x3_across1": "branch1_1a",
        "3x3_down1": "branch1_1b",
        "double_across1": "branch2_3a",
        "double_down1": "branch2_3b",
        "double_": "branch2_",
        "pool_conv1": "branch3.1",
    },
}  # fmt: skip
"""Beginnings of our names and of theirs, by level and block; a number after them counts from 1 here, from 0 there."""
BEFORE = {"2": 2, "3": 4, "4": 9, "5": 17}
"""The modules before each level's first, less one."""


def timm(layer):
    """Names as in `timm.models.inception_v4`."""
    if layer == "head_logits":
        return "last_linear"
    part = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    if layer.startswith("stem"):
        return f"features.{int(layer[-1]) - 1}.{part}"
    level, block, branch = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    module = f"features.{BEFORE[level] + int(block)}"
    for ours, theirs in BRANCHES.get(level + block, BRANCHES.get(level, {})).items():
        if branch == ours:
            return f"{module}.{theirs}.{part}"
        if branch.startswith(ours):
            return f"{module}.{theirs}{int(branch[len(ours) :]) - 1}.{part}"
    raise KeyError(layer)

"""Inception-v4."""

import re

BRANCHES = {
    "21": (None, "conv"),
    "22": ("branch0.{}", "branch1.{}"),
    "31": ("conv",),
    "3": ("branch0", "branch1.{}", "branch2.{}", "branch3.1"),
    "41": ("branch0", "branch1.{}"),
    "4": ("branch0", "branch1.{}", "branch2.{}", "branch3.1"),
    "51": ("branch0.{}", "branch1.{}"),
    "5": ("branch0", "branch1_{}", "branch2_{}", "branch3.1"),
}
"""timm's names of the branches, by level and block or by level."""
EXPANDED = {
    "branch2_1x3": "branch1_1a",
    "branch2_3x1": "branch1_1b",
    "branch3_1x3": "branch2_3a",
    "branch3_3x1": "branch2_3b",
}
MODULES = {"2": 2, "3": 4, "4": 9, "5": 17}
"""timm's number of each level's first module, less 1."""


def timm(layer: str) -> str:
    """Names as in `timm.models.inception_v4`."""
    if layer == "head_logits":
        return "last_linear"
    part = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    if layer.startswith("stem"):
        return f"features.{int(layer[-1]) - 1}.{part}"
    level, block, rest = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    module = f"features.{MODULES[level] + int(block)}"
    if rest in EXPANDED:
        return f"{module}.{EXPANDED[rest]}.{part}"
    branch, number = re.fullmatch(r"branch(\d)_conv(\d)", rest).groups()
    branches = BRANCHES.get(level + block) or BRANCHES[level]
    return f"{module}.{branches[int(branch) - 1].format(int(number) - 1)}.{part}"

"""Inception-v3."""

import re

STEM = {
    "stem_conv1": "Conv2d_1a_3x3",
    "stem_conv2": "Conv2d_2a_3x3",
    "stem_conv3": "Conv2d_2b_3x3",
    "stem_conv4": "Conv2d_3b_1x1",
    "stem_conv5": "Conv2d_4a_3x3",
    "auxiliary1_conv1": "AuxLogits.conv0",
    "auxiliary1_conv2": "AuxLogits.conv1",
}
SQUARE = {"1x1_1": "branch1x1", "5x5_": "branch5x5_", "double_": "branch3x3dbl_"}
FLAT = {"1x1_1": "branch1x1", "7x7_": "branch7x7_", "double_": "branch7x7dbl_"}
WIDE = {
    "1x1_1": "branch1x1",
    "3x3_1": "branch3x3_1",
    "3x3_across1": "branch3x3_2a",
    "3x3_down1": "branch3x3_2b",
    "double_across1": "branch3x3dbl_3a",
    "double_down1": "branch3x3dbl_3b",
    "double_": "branch3x3dbl_",
}
BRANCHES = {
    "3": SQUARE,
    "41": {"3x3_1": "branch3x3", "double_": "branch3x3dbl_"},
    "4": FLAT,
    "51": {"3x3_": "branch3x3_", "7x7_": "branch7x7x3_"},
    "5": WIDE,
}
"""Beginnings of our names and of theirs, by level and block."""


def torchvision(layer):
    """Names as in `torchvision.models.inception`."""
    if layer in ("head_logits", "auxiliary1_logits"):
        return {"head": "fc", "auxiliary1": "AuxLogits.fc"}[layer.removesuffix("_logits")]
    part = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    if layer in STEM:
        return f"{STEM[layer]}.{part}"
    level, block, branch = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    first = "bcd" if level == "3" else "abcde"
    module = f"Mixed_{int(level) + 2}{first[int(block) - 1]}"
    if branch == "pool_conv1":
        return f"{module}.branch_pool.{part}"
    for ours, theirs in BRANCHES.get(level + block, BRANCHES[level]).items():
        if branch.startswith(ours):
            return f"{module}.{theirs}{branch[len(ours) :]}.{part}"
    raise KeyError(layer)


timm = torchvision

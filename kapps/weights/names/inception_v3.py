"""Inception-v3."""

import re

OTHERS = {
    "stem_conv1": "Conv2d_1a_3x3",
    "stem_conv2": "Conv2d_2a_3x3",
    "stem_conv3": "Conv2d_2b_3x3",
    "stem_conv4": "Conv2d_3b_1x1",
    "stem_conv5": "Conv2d_4a_3x3",
    "auxiliary1_conv1": "AuxLogits.conv0",
    "auxiliary1_conv2": "AuxLogits.conv1",
}
INCEPTION_A = ("branch1x1", "branch5x5_{}", "branch3x3dbl_{}", "branch_pool")
REDUCTION_A = ("branch3x3", "branch3x3dbl_{}")
INCEPTION_B = ("branch1x1", "branch7x7_{}", "branch7x7dbl_{}", "branch_pool")
REDUCTION_B = ("branch3x3_{}", "branch7x7x3_{}")
INCEPTION_C = ("branch1x1", "branch3x3_{}", "branch3x3dbl_{}", "branch_pool")
BRANCHES = {
    "3": INCEPTION_A,
    "41": REDUCTION_A,
    "4": INCEPTION_B,
    "51": REDUCTION_B,
    "5": INCEPTION_C,
}
"""torchvision's names of the branches, by level and block or by level."""
EXPANDED = {
    "branch2_1x3": "branch3x3_2a",
    "branch2_3x1": "branch3x3_2b",
    "branch3_1x3": "branch3x3dbl_3a",
    "branch3_3x1": "branch3x3dbl_3b",
}


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.inception`."""
    if layer in ("head_logits", "auxiliary1_logits"):
        return {"head_logits": "fc", "auxiliary1_logits": "AuxLogits.fc"}[layer]
    part = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    if layer in OTHERS:
        return f"{OTHERS[layer]}.{part}"
    level, block, rest = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    letters = "bcd" if level == "3" else "abcde"
    module = f"Mixed_{int(level) + 2}{letters[int(block) - 1]}"
    if rest in EXPANDED:
        return f"{module}.{EXPANDED[rest]}.{part}"
    branch, number = re.fullmatch(r"branch(\d)_conv(\d)", rest).groups()
    branches = BRANCHES.get(level + block, BRANCHES[level])
    return f"{module}.{branches[int(branch) - 1].format(number)}.{part}"


timm = torchvision

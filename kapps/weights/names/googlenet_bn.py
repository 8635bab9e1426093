"""GoogLeNet with batch norms."""

import re

PARTS = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "5x5_reduce": "branch3.0",
    "5x5": "branch3.1",
    "pool_proj": "branch4.1",
}
AUXILIARY = {"dense": "fc1", "logits": "fc2"}

OPTIONS = {"torchvision": (("", {"last_pool": 2}),)}


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.googlenet`."""
    if layer == "head_logits":
        return "fc"
    stem = re.fullmatch(r"stem_(conv\d)(_bn)?", layer)
    if stem:
        return stem[1] + (".bn" if stem[2] else ".conv")
    head = re.fullmatch(r"auxiliary(\d)_(\w+)", layer)
    if head and head[2] in AUXILIARY:
        return f"aux{head[1]}.{AUXILIARY[head[2]]}"
    part = "bn" if layer.endswith("_bn") else "conv"
    if head:
        return f"aux{head[1]}.conv.{part}"
    level, block, branch = re.fullmatch(
        r"level(\d)_block(\d)_(\w+)", layer.removesuffix("_bn")
    ).groups()
    return f"inception{level}{'abcde'[int(block) - 1]}.{PARTS[branch]}.{part}"

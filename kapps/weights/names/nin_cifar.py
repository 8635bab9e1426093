"""Network in network for CIFAR."""

import re


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.nin_cifar`."""
    if layer == "head_logits":
        return "output.final_conv.conv"
    level, unit = re.fullmatch(r"level(\d)_conv(\d)", layer).groups()
    return f"features.stage{int(level) + 1}.unit{unit}.conv"

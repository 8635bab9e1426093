"""CIFAR ResNet."""

import re

ENDS = {"stem_conv": "conv1", "stem_conv_bn": "bn1", "head_logits": "linear"}


def akamaster(layer: str) -> str:
    """Names as in github.com/akamaster/pytorch_resnet_cifar10."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    part = re.sub(r"conv(\d)_bn", r"bn\1", part)
    return f"layer{int(level) + 1}.{int(block) - 1}.{part}"

"""ShuffleNet V2."""

import re

ENDS = {
    "stem_conv1": "conv1.0",
    "stem_conv1_bn": "conv1.1",
    "level5_conv": "conv5.0",
    "level5_conv_bn": "conv5.1",
    "head_logits": "fc",
}
PARTS = {
    "shortcut1": ("branch1", 0),
    "shortcut2": ("branch1", 2),
    "conv1": ("branch2", 0),
    "conv2": ("branch2", 3),
    "conv3": ("branch2", 5),
}


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.shufflenetv2`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part, norm = re.fullmatch(
        r"level(\d)_block(\d+)_([a-z]+\d)(_bn)?", layer
    ).groups()
    branch, index = PARTS[part]
    return f"stage{int(level) - 1}.{int(block) - 1}.{branch}.{index + bool(norm)}"

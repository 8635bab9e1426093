"""ResNet, ResNeXt, wide ResNet, SE-ResNet and SE-ResNeXt."""

import re

ENDS = {"tail_conv": "conv1", "tail_conv_bn": "bn1", "head_logits": "fc"}
PARTS = {
    "shortcut": "downsample.0",
    "shortcut_bn": "downsample.1",
    "se_reduce": "se.fc1",
    "se_expand": "se.fc2",
}


def torchvision(layer):
    """Names as in `torchvision.models.resnet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    part = PARTS.get(part, re.sub(r"conv(\d)_bn", r"bn\1", part))
    return f"layer{int(level) - 1}.{int(block) - 1}.{part}"


timm = torchvision

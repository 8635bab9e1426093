"""DenseNet for ImageNet."""

import re

ENDS = {
    "tail_conv": "features.conv0",
    "tail_conv_bn": "features.norm0",
    "level5_norm": "features.norm5",
    "head_logits": "classifier",
}


def torchvision(layer):
    """Names as in `torchvision.models.densenet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_(block\d+|transition)_?(\w*)", layer).groups()
    if block == "transition":
        return f"features.transition{int(level) - 1}.{part or 'conv'}"
    part = re.sub(r"conv(\d)_norm", r"norm\1", part)
    return f"features.denseblock{int(level) - 1}.{block.replace('block', 'denselayer')}.{part}"


timm = torchvision

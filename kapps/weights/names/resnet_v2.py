"""Pre-activation ResNet."""

import re

ENDS = {
    "stem_conv": "stem.conv",
    "stem_conv_bn": "stages.0.blocks.0.norm1",  # timm normalises after the pooling
    "level5_norm": "norm",
    "head_logits": "head.fc",
}
PARTS = {"preact": "norm1", "conv1_bn": "norm2", "conv2_bn": "norm3", "shortcut": "downsample.conv"}


def timm(layer: str) -> str:
    """Names as in `timm.models.resnetv2`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    return f"stages.{int(level) - 2}.blocks.{int(block) - 1}.{PARTS.get(part, part)}"

"""MobileNet V1."""

import re

ENDS = {"stem_conv": "conv_stem", "stem_conv_bn": "bn1", "head_logits": "classifier"}
PARTS = {"depthwise": "conv_dw", "depthwise_bn": "bn1", "pointwise": "conv_pw", "pointwise_bn": "bn2"}  # fmt: skip


def timm(layer: str) -> str:
    """Names as of `mobilenetv1_100` in `timm.models.efficientnet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    return f"blocks.{int(level) - 1}.{int(block) - 1}.{PARTS[part]}"

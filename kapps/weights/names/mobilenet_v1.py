"""MobileNet V1."""

import re

ENDS = {"stem_conv": "conv_stem", "stem_conv_bn": "bn1", "head_logits": "classifier"}
KERAS = {
    "mobilenet_v1_025": ("MobileNet", {"alpha": 0.25}),
    "mobilenet_v1_050": ("MobileNet", {"alpha": 0.5}),
    "mobilenet_v1_075": ("MobileNet", {"alpha": 0.75}),
    "mobilenet_v1": ("MobileNet", {}),
}
BLUE_FIRST = False
PADDING = {"keras": "same"}
APPLICATIONS = {"stem_conv": "conv1", "stem_conv_bn": "conv1_bn", "head_logits": "conv_preds"}
FIRST = {"1": 1, "2": 2, "3": 4, "4": 6, "5": 12}
"""Number of each level's first block in Keras Applications."""
KINDS = {"depthwise": "dw", "pointwise": "pw"}
PARTS = {"depthwise": "conv_dw", "depthwise_bn": "bn1", "pointwise": "conv_pw", "pointwise_bn": "bn2"}  # fmt: skip


def timm(layer: str) -> str:
    """Names as of `mobilenetv1_100` in `timm.models.efficientnet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    return f"blocks.{int(level) - 1}.{int(block) - 1}.{PARTS[part]}"


def keras(layer: str) -> str:
    """Names as in `keras.applications.mobilenet`."""
    if layer in APPLICATIONS:
        return APPLICATIONS[layer]
    level, block, kind, norm = re.fullmatch(r"level(\d)_block(\d)_([a-z]+)(_bn)?", layer).groups()
    return f"conv_{KINDS[kind]}_{FIRST[level] + int(block) - 1}{norm or ''}"

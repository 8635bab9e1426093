"""Dual path networks."""

import re

ENDS = {
    "stem_conv": "features.conv1_1.conv",
    "stem_conv_bn": "features.conv1_1.bn",
    "level5_norm": "features.conv5_bn_ac.bn",
    "head_logits": "classifier",
}
PARTS = {"conv1": "c1x1_a", "conv2": "c3x3_b", "conv3": "c1x1_c"}


def timm(layer: str) -> str:
    """Names as in `timm.models.dpn`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part, norm = re.fullmatch(
        r"level(\d)_block(\d+)_(conv\d|shortcut)(_norm)?", layer
    ).groups()
    shortcut = "c1x1_w_s1" if level == "2" else "c1x1_w_s2"
    return f"features.conv{level}_{block}.{PARTS.get(part, shortcut)}.{'bn' if norm else 'conv'}"

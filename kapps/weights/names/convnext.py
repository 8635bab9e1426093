"""ConvNeXt."""

import re

from kapps.weights.names._stages import block_part

ENDS = {
    "stem_conv": ("stem.0", "features.0.0"),
    "stem_norm": ("stem.1", "features.0.1"),
    "head_norm": ("head.norm", "classifier.0"),
    "head_logits": ("head.fc", "classifier.2"),
}
PARTS = {
    "depthwise": ("conv_dw", "block.0"),
    "norm": ("norm", "block.2"),
    "expand": ("mlp.fc1", "block.3"),
    "project": ("mlp.fc2", "block.5"),
    "scale": ("gamma", "layer_scale"),
}


def timm(layer: str) -> str:
    """Names as in `timm.models.convnext`."""
    if layer in ENDS:
        return ENDS[layer][0]
    level, block, part = _place(layer)
    if block is None:
        return f"stages.{level - 2}.downsample.{part}"
    return f"stages.{level - 2}.blocks.{block}.{PARTS[part][0]}"


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.convnext`."""
    if layer in ENDS:
        return ENDS[layer][1]
    level, block, part = _place(layer)
    if block is None:
        return f"features.{2 * level - 4}.{part}"
    return f"features.{2 * level - 3}.{block}.{PARTS[part][1]}"


def _place(layer):
    """Returns (level, block from 0, part), or (level, None, number) for the layers between two levels."""
    downsample = re.fullmatch(r"level(\d)_downsample(_norm)?", layer)
    if downsample:
        return int(downsample[1]), None, 0 if downsample[2] else 1
    level, block, part = block_part(layer)
    return level, block - 1, part

"""DenseNet for ImageNet."""

import re

ENDS = {
    "stem_conv": "features.conv0",
    "stem_conv_bn": "features.norm0",
    "level5_norm": "features.norm5",
    "head_logits": "classifier",
}
APPLICATIONS = {
    "stem_conv": "conv1_conv",
    "stem_conv_bn": "conv1_bn",
    "level5_norm": "bn",
    "head_logits": "predictions",
}
KERAS = {"densenet121": "DenseNet121", "densenet169": "DenseNet169", "densenet201": "DenseNet201"}
BLUE_FIRST = False
PADDING = {"keras": "symmetric"}
OLD = {r"(denselayer\d+\.(?:norm|conv))\.([12])\.": r"\1\2."}
"""Patterns of the names in torchvision's older files, and of the current names."""


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.densenet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_(block\d+|transition)_?(\w*)", layer).groups()
    if block == "transition":
        return f"features.transition{int(level) - 1}.{part or 'conv'}"
    part = re.sub(r"conv(\d)_norm", r"norm\1", part)
    return f"features.denseblock{int(level) - 1}.{block.replace('block', 'denselayer')}.{part}"


timm = torchvision


def keras(layer: str) -> str:
    """Names as in `keras.applications.densenet`."""
    if layer in APPLICATIONS:
        return APPLICATIONS[layer]
    level, block, part = re.fullmatch(r"level(\d)_(block\d+|transition)_?(\w*)", layer).groups()
    if block == "transition":
        return f"pool{level}_{'bn' if part else 'conv'}"
    number, norm = re.fullmatch(r"conv(\d)(_norm)?", part).groups()
    return (
        f"conv{level}_{block}_{int(number) - 1}_bn"
        if norm
        else f"conv{level}_{block}_{number}_conv"
    )

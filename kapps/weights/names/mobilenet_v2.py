"""MobileNet V2."""

import re

from kapps.weights.names import efficientnet

ENDS = {
    "stem_conv": "features.0.0",
    "stem_conv_bn": "features.0.1",
    "level5_conv": "features.18.0",
    "level5_conv_bn": "features.18.1",
    "head_logits": "classifier.1",
}
FIRST = {"1": 1, "2": 2, "3": 4, "4": 7, "5": 14}
"""torchvision's number of each level's first block."""
KERAS = {
    "mobilenet_v2_035": ("MobileNetV2", {"alpha": 0.35}),
    "mobilenet_v2_050": ("MobileNetV2", {"alpha": 0.5}),
    "mobilenet_v2_075": ("MobileNetV2", {"alpha": 0.75}),
    "mobilenet_v2": ("MobileNetV2", {}),
    "mobilenet_v2_130": ("MobileNetV2", {"alpha": 1.3}),
    "mobilenet_v2_140": ("MobileNetV2", {"alpha": 1.4}),
}
BLUE_FIRST = False
PADDING = {"keras": "same"}
APPLICATIONS = {
    "stem_conv": "Conv1",
    "stem_conv_bn": "bn_Conv1",
    "level5_conv": "Conv_1",
    "level5_conv_bn": "Conv_1_bn",
    "head_logits": "predictions",
}
PARTS = {
    "expand": "0.0",
    "expand_bn": "0.1",
    "depthwise": "1.0",
    "depthwise_bn": "1.1",
    "project": "2",
    "project_bn": "3",
}
UNEXPANDED = {"depthwise": "0.0", "depthwise_bn": "0.1", "project": "1", "project_bn": "2"}


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.mobilenetv2`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    parts = UNEXPANDED if level == "1" else PARTS
    return f"features.{FIRST[level] + int(block) - 1}.conv.{parts[part]}"


def timm(layer: str, names: list[str]) -> str:
    """Names as of `mobilenetv2_100` in `timm.models.efficientnet`, with the names of EfficientNet."""
    return efficientnet.timm(layer, names)


def keras(layer: str) -> str:
    """Names as in `keras.applications.mobilenet_v2`, whose first block has no number."""
    if layer in APPLICATIONS:
        return APPLICATIONS[layer]
    level, block, kind, norm = re.fullmatch(r"level(\d)_block(\d+)_([a-z]+)(_bn)?", layer).groups()
    number = FIRST[level] + int(block) - 2
    return f"{f'block_{number}' if number else 'expanded_conv'}_{kind}{'_BN' if norm else ''}"

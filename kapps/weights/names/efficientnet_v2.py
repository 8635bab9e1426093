"""EfficientNet V2."""

from kapps.weights.names import efficientnet
from kapps.weights.names._stages import place

PADDING = {"timm": "same", "keras": "same"}
"""timm's networks of this family whose names do not begin with "tf_" have no pretrained weights."""
PIXELS = {"include_preprocessing": False}
"""Keras Applications' networks may contain the preprocessing, which kapps's pipelines do."""
KERAS = {
    f"efficientnet_v2_{size.lower()}": (f"EfficientNetV2{size}", PIXELS)
    for size in ("B0", "B1", "B2", "B3", "S", "M", "L")
}
BLUE_FIRST = False
APPLICATIONS = {
    "stem_conv": "stem_conv",
    "stem_conv_bn": "stem_bn",
    "level5_conv": "top_conv",
    "level5_conv_bn": "top_bn",
    "head_logits": "predictions",
}
KERAS_PARTS = {
    "conv": "project_conv",
    "conv_bn": "project_bn",
    "expand": "expand_conv",
    "depthwise": "dwconv2",
    "depthwise_bn": "bn",
    "project": "project_conv",
}
FUSED = {
    "conv": "conv",
    "conv_bn": "bn1",
    "expand": "conv_exp",
    "expand_bn": "bn1",
    "project": "conv_pwl",
    "project_bn": "bn2",
}
TORCHVISION = {
    "conv": "0.0",
    "conv_bn": "0.1",
    "expand": "0.0",
    "expand_bn": "0.1",
    "depthwise": "1.0",
    "depthwise_bn": "1.1",
    "se_reduce": "2.fc1",
    "se_expand": "2.fc2",
}


def timm(layer: str, names: list[str]) -> str:
    """Names as of `tf_efficientnetv2_s` in `timm.models.efficientnet`."""
    if layer in efficientnet.ENDS or _is_mbconv(layer, names):
        return efficientnet.timm(layer, names)
    stage, block, part = place(layer, names)
    return f"blocks.{stage}.{block}.{FUSED[part]}"


def torchvision(layer: str, names: list[str]) -> str:
    """Names as of `efficientnet_v2_s` in `torchvision.models.efficientnet`."""
    if layer == "head_logits":
        return "classifier.1"
    if layer.startswith(("stem_conv", "level5_conv")):
        last = 1 + max(place(name, names)[0] for name in names if name.endswith("_project"))
        number = 0 if layer.startswith("stem") else 1 + last
        return f"features.{number}.{int(layer.endswith('_bn'))}"
    stage, block, part = place(layer, names)
    number = 3 if _is_mbconv(layer, names) else 1
    part = TORCHVISION.get(part) or f"{number}.{int(part.endswith('_bn'))}"
    return f"features.{1 + stage}.{block}.block.{part}"


def keras(layer: str, names: list[str]) -> str:
    """Names as of `EfficientNetV2S` in `keras.applications.efficientnet_v2`, which has a letter for each block."""
    if layer in APPLICATIONS:
        return APPLICATIONS[layer]
    stage, block, part = place(layer, names)
    return f"block{1 + stage}{'abcdefghijklmnopqrstuvwxyz'[block]}_{KERAS_PARTS.get(part, part)}"


def _is_mbconv(layer, names):
    block = "_".join(layer.split("_")[:2])
    return f"{block}_depthwise" in names

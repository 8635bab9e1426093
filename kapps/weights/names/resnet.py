"""ResNet, ResNeXt, wide ResNet, SE-ResNet and SE-ResNeXt."""

import re

ENDS = {"stem_conv": "conv1", "stem_conv_bn": "bn1", "head_logits": "fc"}
PARTS = {
    "shortcut": "downsample.0",
    "shortcut_bn": "downsample.1",
    "se_reduce": "se.fc1",
    "se_expand": "se.fc2",
}
APPLICATIONS = {
    "stem_conv": "conv1_conv",
    "stem_conv_bn": "conv1_bn",
    "head_logits": "predictions",
}
KERAS = {"resnet50_v1": "ResNet50", "resnet101_v1": "ResNet101", "resnet152_v1": "ResNet152"}
"""Builders of networks that Keras Applications has, and their names there."""
BLUE_FIRST = True
"""Whether these networks read images with blue first."""
PADDING = {"keras": "symmetric"}
"""Padding of the networks of each library, where it is not the usual one of a PyTorch library, "symmetric"."""
OPTIONS = {
    "torchvision": (("", {"stride_in": "3x3"}),),
    "timm": (("", {"stride_in": "3x3"}),),
    "pytorchcv": (
        (r"(se)?resnet\d+b", {"stride_in": "3x3"}),
        (r"(se)?resnet(50|101|152|200)", {"stride_in": "1x1"}),
        (r"(se)?resnet", {"block": "basic_block"}),
        (r"(se)?resnext|wrn", {"stride_in": "3x3"}),
    ),
}
"""Options of the networks of each library, as `kapps/weights/functions.py` describes."""

PYTORCHCV = {
    "stem_conv": "features.init_block.conv.conv",
    "stem_conv_bn": "features.init_block.conv.bn",
    "head_logits": "output",
    "shortcut": "identity_conv.conv",
    "shortcut_bn": "identity_conv.bn",
    "se_reduce": "se.conv1",
    "se_expand": "se.conv2",
}


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.resnet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    part = PARTS.get(part, re.sub(r"conv(\d)_bn", r"bn\1", part))
    return f"layer{int(level) - 1}.{int(block) - 1}.{part}"


timm = torchvision


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.resnet` and `seresnet`."""
    if layer in PYTORCHCV:
        return PYTORCHCV[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    part = PYTORCHCV.get(part) or f"body.{part[:5]}.{'bn' if part.endswith('_bn') else 'conv'}"
    return f"features.stage{int(level) - 1}.unit{block}.{part}"


def keras(layer: str) -> str:
    """Names as in `keras.applications.resnet`, which strides in a block's first convolution."""
    if layer in APPLICATIONS:
        return APPLICATIONS[layer]
    level, block, part, norm = re.fullmatch(
        r"level(\d)_block(\d+)_([a-z]+\d?)(_bn)?", layer
    ).groups()
    number = "0" if part == "shortcut" else part[-1]
    return f"conv{level}_block{block}_{number}_{'bn' if norm else 'conv'}"

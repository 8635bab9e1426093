"""SENet-154."""

import re

from kapps.weights.names import resnet

STEM = {"1": ("conv1.0", "conv1.1"), "2": ("conv1.3", "conv1.4"), "3": ("conv1.6", "bn1")}


def timm(layer: str) -> str:
    """Names as in timm's senet154, which is a `timm.models.resnet.ResNet`."""
    stem = re.fullmatch(r"stem_conv(\d)(_bn)?", layer)
    return STEM[stem[1]][bool(stem[2])] if stem else resnet.timm(layer)

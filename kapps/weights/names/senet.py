"""SENet-154."""

import re

from kapps.weights.names import resnet

TAIL = {"1": ("conv1.0", "conv1.1"), "2": ("conv1.3", "conv1.4"), "3": ("conv1.6", "bn1")}


def timm(layer):
    """Names as in timm's senet154, which is a `timm.models.resnet.ResNet`."""
    tail = re.fullmatch(r"tail_conv(\d)(_bn)?", layer)
    return TAIL[tail[1]][bool(tail[2])] if tail else resnet.timm(layer)

"""CBAM on ResNet and ResNeXt."""

import re

from kapps.weights.names import resnet

OPTIONS = {
    "pytorchcv": (("", {"use_bias": True, "mean_first": False, "stem": "7x7"}),),
    "timm": (("", {"use_bias": False, "mean_first": True, "stem": "7x7"}),),
    "jongchan": (("", {"use_bias": True, "mean_first": False, "stem": "7x7"}),),
}
"""Options of the networks of each library, as `kapps/weights/functions.py` describes."""
PARTS = {
    # the names of a part in pytorchcv, in timm and in the authors' code
    "channel_reduce": ("cbam.ch_gate.mlp.fc1", "se.channel.fc1", "cbam.ChannelGate.mlp.1"),
    "channel_expand": ("cbam.ch_gate.mlp.fc2", "se.channel.fc2", "cbam.ChannelGate.mlp.3"),
    "spatial_conv": (
        "cbam.sp_gate.conv.conv", "se.spatial.conv.conv", "cbam.SpatialGate.spatial.conv",
    ),
    "spatial_conv_bn": (
        "cbam.sp_gate.conv.bn", "se.spatial.conv.bn", "cbam.SpatialGate.spatial.bn",
    ),
}  # fmt: skip


def _gate(layer):
    """Returns (level, block, part) of a layer of a gate, or None."""
    gate = re.fullmatch(r"level(\d)_block(\d+)_((?:channel|spatial)_\w+)", layer)
    return gate and (int(gate[1]), int(gate[2]), gate[3])


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.cbamresnet`."""
    gate = _gate(layer)
    if gate is None:
        return resnet.pytorchcv(layer)
    level, block, part = gate
    return f"features.stage{level - 1}.unit{block}.{PARTS[part][0]}"


def timm(layer: str) -> str:
    """Names as in `timm.models.resnet` with `block_args={"attn_layer": "cbam"}`."""
    gate = _gate(layer)
    if gate is None:
        return resnet.timm(layer)
    level, block, part = gate
    return f"layer{level - 1}.{block - 1}.{PARTS[part][1]}"


def jongchan(layer: str) -> str:
    """Names as in github.com/Jongchan/attention-module, the authors' code, in its form for ImageNet."""
    gate = _gate(layer)
    if gate is None:
        return resnet.torchvision(layer)
    level, block, part = gate
    return f"layer{level - 1}.{block - 1}.{PARTS[part][2]}"

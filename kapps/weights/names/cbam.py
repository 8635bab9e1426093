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


def _name(layer, column, stage, plain):
    """Returns the name of a layer: of a gate from `PARTS`, of any other from the function `plain`."""
    gate = re.fullmatch(r"level(\d)_block(\d+)_((?:channel|spatial)_\w+)", layer)
    if gate is None:
        return plain(layer)
    return f"{stage(int(gate[1]) - 1, int(gate[2]))}.{PARTS[gate[3]][column]}"


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.cbamresnet`."""
    return _name(layer, 0, "features.stage{}.unit{}".format, resnet.pytorchcv)


def timm(layer: str) -> str:
    """Names as in `timm.models.resnet` with `block_args={"attn_layer": "cbam"}`."""
    return _name(layer, 1, _torchvision_block, resnet.timm)


def jongchan(layer: str) -> str:
    """Names as in github.com/Jongchan/attention-module, the authors' code, in its form for ImageNet."""
    return _name(layer, 2, _torchvision_block, resnet.torchvision)


def _torchvision_block(stage, block):
    return f"layer{stage}.{block - 1}"

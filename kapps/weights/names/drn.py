"""Dilated residual networks."""

import re

from kapps.weights.names import resnet
from kapps.weights.names._stages import place


def fyu(layer: str, layers: list[str]) -> str:
    """Names as in github.com/fyu/drn, the authors' code; `layers` are the names of all layers, in order."""
    if layer == "head_logits":
        return "fc"
    is_plain = "level0_block1_add" not in layers  # the first and last stages of DRN-D
    if layer.startswith("stem"):
        ends = {"stem_conv": ("conv1", "layer0.0"), "stem_conv_bn": ("bn1", "layer0.1")}
        return ends[layer][is_plain]
    first = [name.removesuffix("_shortcut") for name in layers if name.endswith("_shortcut")]
    stage, block, part = place(layer, layers, first)
    name = re.match(r"level\d_block\d+", layer)[0]
    if f"{name}_conv2" not in layers:
        number = {"conv1": 0, "conv1_bn": 1}[part]
        return f"layer{stage + 1}.{number + 3 * block}"
    part = resnet.torchvision(f"level2_block1_{part}").removeprefix("layer1.0.")
    return f"layer{stage + 1}.{block}.{part}"

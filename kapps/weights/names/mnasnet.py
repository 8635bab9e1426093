"""MnasNet."""

import re

from kapps.weights.names import efficientnet
from kapps.weights.names._stages import BLOCK, place

ENDS = {
    "stem_conv": "layers.0",
    "stem_conv_bn": "layers.1",
    "level5_conv": "layers.14",
    "level5_conv_bn": "layers.15",
    "head_logits": "classifier.1",
}
PARTS = {
    "expand": 0,
    "expand_bn": 1,
    "depthwise": 3,
    "depthwise_bn": 4,
    "project": 6,
    "project_bn": 7,
}

PYTORCHCV = {
    "stem_conv": "features.init_block.conv1",
    "level5_conv": "features.final_block.conv2",
}
UNITS = {"expand": "exp_conv", "depthwise": "dw_conv", "project": "pw_conv"}


def torchvision(layer: str, names: list[str]) -> str:
    """Names as in `torchvision.models.mnasnet`, whose networks are B1."""
    if layer in ENDS:
        return ENDS[layer]
    stage, block, part = place(layer, names)
    if stage == 0:
        return f"layers.{PARTS[part]}"
    return f"layers.{7 + stage}.{block}.layers.{PARTS[part]}"


def pytorchcv(layer: str, names: list[str]) -> str:
    """Names as in `pytorchcv.models.mnasnet`, where the first and the last block belong to the convolutions there."""
    if layer == "head_logits":
        return "output"
    kind = "bn" if layer.endswith("_bn") else "conv"
    if layer.startswith(("stem_conv", "level5_conv")):
        return f"{PYTORCHCV[layer.removesuffix('_bn')]}.{kind}"
    level, block, part = re.fullmatch(BLOCK, layer).groups()
    blocks = [name.removesuffix("_project") for name in names if name.endswith("_project")]
    unit = f"features.stage{int(level[-1]) - 1}.unit{block}"
    if f"{level}_block{block}" == blocks[0]:
        unit = "features.init_block.conv2"
    if f"{level}_block{block}" == blocks[-1]:
        unit = "features.final_block.conv1"
    if part.startswith("se_"):
        return f"{unit}.se.conv{1 if part == 'se_reduce' else 2}"
    return f"{unit}.{UNITS[part.removesuffix('_bn')]}.{kind}"


def timm(layer: str, names: list[str]) -> str:
    """Names as of `mnasnet_100` (B1) and `semnasnet_100` (A1) in `timm.models.efficientnet`."""
    # In the small network the channels of two stages are equal.
    is_small = "level4_block7_project" in names
    return efficientnet.timm_blocks(layer, names, ("level4_block5",) if is_small else ())

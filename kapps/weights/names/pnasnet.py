"""PNASNet."""

import re

from kapps.weights.names._stages import block_part
from kapps.weights.names.nasnet import is_stem_cell

PADDING = {"timm": "same"}
ENDS = {"stem_conv": "conv_0.conv", "stem_conv_bn": "conv_0.bn", "head_logits": "last_linear"}
INPUTS = {
    "h0": "conv_1x1.conv",
    "h0_bn": "conv_1x1.bn",
    "h1": "conv_prev_1x1.conv",
    "h1_bn": "conv_prev_1x1.bn",
    "h1_even": "conv_prev_1x1.path_1.conv",
    "h1_odd": "conv_prev_1x1.path_2.conv",
    "h1_concat_bn": "conv_prev_1x1.final_path_bn",
}
EDGE = r"c(\d)_(left|right)_?(?:(depthwise|pointwise)(\d)|conv)?_?(bn)?"


def timm(layer: str) -> str:
    """Names as in `timm.models.pnasnet`, whose network has four cells at each level."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = block_part(layer)
    if is_stem_cell(level, block):
        cell = f"cell_stem_{level - 2}"
    else:
        cell = f"cell_{4 * (level - 3) + block - 1 - (level == 3)}"
    if part in INPUTS:
        return f"{cell}.{INPUTS[part]}"
    node, side, kind, number, norm = re.fullmatch(EDGE, part).groups()
    edge = f"{cell}.comb_iter_{int(node) - 2}_{side}"
    if kind is None:  # a strided identity, or the convolution after a pooling
        return f"{edge}.{norm or 'conv'}"
    return f"{edge}.bn_sep_{number}" if norm else f"{edge}.separable_{number}.{kind}_conv2d"

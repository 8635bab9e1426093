"""NASNet."""

import re
from collections.abc import Sequence

from kapps.weights.names._stages import block_part

KERAS = {"nasnet_mobile": "NASNetMobile", "nasnet_large": "NASNetLarge"}
BLUE_FIRST = False
PADDING = {"timm": "same", "pytorchcv": "same", "keras": "same"}
ENDS = {
    "stem_conv": ("conv0.conv", "features.init_block.conv", "stem_conv1"),
    "stem_conv_bn": ("conv0.bn", "features.init_block.bn", "stem_bn1"),
    "head_logits": ("last_linear", "output.fc", "predictions"),
}
"""In timm, pytorchcv and Keras Applications."""
INPUTS = {
    "h0": ("conv_1x1.conv", "conv1x1.conv", "{kind}_conv_1_{cell}"),
    "h0_bn": ("conv_1x1.bn", "conv1x1.bn", "{kind}_bn_1_{cell}"),
    "h1": ("conv_prev_1x1.conv", "conv1x1_prev.conv", "adjust_conv_projection_{cell}"),
    "h1_bn": ("conv_prev_1x1.bn", "conv1x1_prev.bn", "adjust_bn_{cell}"),
    "h1_even": ("path_1.conv", "path.path1.conv", "adjust_conv_1_{cell}"),
    "h1_odd": ("path_2.conv", "path.path2.conv", "adjust_conv_2_{cell}"),
    "h1_concat_bn": ("final_path_bn", "path.bn", "adjust_bn_{cell}"),
}
EDGE = r"c(\d)_(left|right)_(depthwise|pointwise)(\d)(_bn)?"


def timm(layer: str, layers: Sequence[str] = ()) -> str:
    """Names as in `timm.models.nasnet`."""
    if layer in ENDS:
        return ENDS[layer][0]
    level, block, part = block_part(layer)
    if is_stem_cell(level, block):
        cell = f"cell_stem_{level - 2}"
    elif level > 3 and block == 1:
        cell = f"reduction_cell_{level - 4}"
    else:
        cell = f"cell_{(level - 3) * _normal_cells(layers) + block - 2}"
    if part in INPUTS:
        return f"{cell}.{INPUTS[part][0]}"
    node, side, kind, number, norm = re.fullmatch(EDGE, part).groups()
    edge = f"{cell}.comb_iter_{int(node) - 2}_{side}"
    return f"{edge}.bn_sep_{number}" if norm else f"{edge}.separable_{number}.{kind}_conv2d"


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.nasnet`."""
    if layer in ENDS:
        return ENDS[layer][1]
    level, block, part = block_part(layer)
    if is_stem_cell(level, block):
        cell = f"features.stem{level - 1}_unit"
    else:
        cell = f"features.stage{level - 2}.unit{block - (level == 3)}"
    if part in INPUTS:
        return f"{cell}.{INPUTS[part][1]}"
    node, side, kind, number, norm = re.fullmatch(EDGE, part).groups()
    edge = f"{cell}.comb{int(node) - 2}_{side}.conv{number}"
    return f"{edge}.bn" if norm else f"{edge}.conv.{'dw' if kind == 'depthwise' else 'pw'}_conv"


def keras(layer: str, layers: Sequence[str] = ()) -> str:
    """Names as in `keras.applications.nasnet`, where a separable convolution is one layer."""
    if layer in ENDS:
        return ENDS[layer][2]
    (level, block, part), n = block_part(layer), _normal_cells(layers)
    kind = "reduction" if block == 1 else "normal"
    if is_stem_cell(level, block):
        cell = f"stem_{level - 1}"
    elif block == 1:
        cell = f"reduce_{n * (level - 3)}"
    else:
        cell = f"{n * (level - 3) + (level > 3) + block - 2}"
    if part in INPUTS:
        return INPUTS[part][2].format(kind=kind, cell=cell)
    node, side, _, number, norm = re.fullmatch(EDGE, part).groups()
    # The last separable convolution of the reduction cell has the number of the node before.
    edge = 4 if (kind, node) == ("reduction", "6") else int(node) - 1
    return f"separable_conv_{number}{norm or ''}_{kind}_{side}{edge}_{cell}"


def is_stem_cell(level, block):
    """Whether a cell is one of the two reduction cells before the first normal cell."""
    return level == 2 or (level == 3 and block == 1)


def _normal_cells(layers):
    """Returns the number of normal cells at each level, from the names of all layers."""
    blocks = (re.match(r"level4_block(\d+)_", layer) for layer in layers)
    return max(int(block[1]) for block in blocks if block) - 1

"""DARTS."""

import collections
import functools
import re

STEM = {
    "stem_conv1": ("stem0.0", "stem1_unit.conv1.conv"),
    "stem_conv1_bn": ("stem0.1", "stem1_unit.conv1.bn"),
    "stem_conv2": ("stem0.3", "stem1_unit.conv2.conv"),
    "stem_conv2_bn": ("stem0.4", "stem1_unit.conv2.bn"),
    "level3_conv": ("stem1.1", "stem2_unit.conv"),
    "level3_conv_bn": ("stem1.2", "stem2_unit.bn"),
}
CIFAR_STEM = {"stem_conv": "stem.0", "stem_conv_bn": "stem.1"}
AUXILIARY = {
    "auxiliary1_conv1": "features.2",
    "auxiliary1_conv1_bn": "features.3",
    "auxiliary1_conv2": "features.5",
    "auxiliary1_conv2_bn": "features.6",
    "auxiliary1_logits": "classifier",
}
PARTS = {
    # preprocessing
    "": ("op.1", "conv"),
    "bn": ("op.2", "bn"),
    # separable convolution
    "depthwise1": ("op.1", "conv1.conv.dw_conv"),
    "pointwise1": ("op.2", "conv1.conv.pw_conv"),
    "pointwise1_bn": ("op.3", "conv1.bn"),
    "depthwise2": ("op.5", "conv2.conv.dw_conv"),
    "pointwise2": ("op.6", "conv2.conv.pw_conv"),
    "pointwise2_bn": ("op.7", "conv2.bn"),
    # dilated convolution
    "depthwise": ("op.1", "conv.dw_conv"),
    "pointwise": ("op.2", "conv.pw_conv"),
    "pointwise_bn": ("op.3", "bn"),
    # factorised reduction
    "even": ("conv_1", "conv1"),
    "odd": ("conv_2", "conv2"),
    "concat_bn": ("bn", "bn"),
    # 1x7 and 7x1
    "conv1": ("1", None),
    "conv2": ("2", None),
    "conv2_bn": ("3", None),
    # pooling with a batch norm
    "pool_bn": ("op.1", None),
}
"""The names of a part in the authors' code and in pytorchcv, which has the second-order cells only."""


def quark0(layer: str, layers: list[str]) -> str:
    """Names as in github.com/quark0/darts, the authors' code."""
    if layer in CIFAR_STEM:
        return CIFAR_STEM[layer]
    if layer in STEM:
        return STEM[layer][0]
    if layer in AUXILIARY:
        return f"auxiliary_head.{AUXILIARY[layer]}"
    if layer == "head_logits":
        return "classifier"
    level, block, operation, part = _place(layer)
    cell = block - 1 + sum(n for other, n in _depths(tuple(layers)).items() if other < level)
    operation = operation if isinstance(operation, str) else f"_ops.{operation}"
    return f"cells.{cell}.{operation}.{PARTS[part][0]}"


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.darts`."""
    if layer in STEM:
        return f"features.{STEM[layer][1]}"
    if layer == "head_logits":
        return "output"
    level, block, operation, part = _place(layer)
    names = {"preprocess0": "preprocess_prev", "preprocess1": "preprocess"}
    operation = names.get(operation, f"body.ops.{operation}")
    return f"features.stage{level - 2}.unit{block}.{operation}.{PARTS[part][1]}"


def _place(layer):
    """Returns (level, block, "preprocess0" or "preprocess1" or the number of the operation in the cell, part)."""
    level, block, place, part = re.fullmatch(
        r"level(\d)_block(\d+)_(preprocess\d|\d+_left|\d+_right)_?(\w*)", layer
    ).groups()
    node, _, side = place.partition("_")
    operation = 2 * int(node) + (side == "right") if side else place
    return int(level), int(block), operation, part


@functools.lru_cache(maxsize=8)
def _depths(layers):
    """Returns {level: number of cells}."""
    cells = {re.match(r"level(\d)_block\d+_", layer) for layer in layers}
    cells = {match[0]: int(match[1]) for match in cells if match}
    return collections.Counter(cells.values())

"""RandWire."""

import re

ENDS = {
    "stem_conv1": "conv1",
    "stem_conv1_bn": "bn1",
    "stem_conv2": "conv2",
    "stem_conv2_bn": "bn2",
    "level5_conv": "convlast",
    "level5_conv_bn": "bnlast",
    "head_logits": "fc",
}
PARTS = {
    "sum": "agg_weight",
    "depthwise": "conv.conv1",
    "conv": "conv.pointwise",
    "conv_bn": "bn",
}


def seungwonpark(layer: str) -> str:
    """Names as in github.com/seungwonpark/RandWireNN, which has the small networks."""
    if layer in ENDS:
        return ENDS[layer]
    level, node, part = re.fullmatch(r"level(\d)_node(\d+)_(\w+)", layer).groups()
    return f"dagly{level}.nodes.{int(node) - 1}.{PARTS[part]}"

"""SKNet."""

import re

ENDS = {
    "stem_conv": "features.init_block.conv.conv",
    "stem_conv_bn": "features.init_block.conv.bn",
    "head_logits": "output",
}
PARTS = {
    "conv1": "body.conv1",
    "path1": "body.conv2.branches.branch2",
    "path2": "body.conv2.branches.branch3",
    "reduce": "body.conv2.fc1",
    "conv3": "body.conv3",
    "shortcut": "identity_conv",
}


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.sknet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part, norm = re.fullmatch(
        r"level(\d)_block(\d+)_([a-z]+\d?)(_bn)?", layer
    ).groups()
    unit = f"features.stage{int(level) - 1}.unit{block}"
    if part == "select":  # the one convolution without a norm
        return f"{unit}.body.conv2.fc2"
    return f"{unit}.{PARTS[part]}.{'bn' if norm else 'conv'}"

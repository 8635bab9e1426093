"""DenseNet for CIFAR."""

import re

ENDS = {
    "stem_conv": "features.init_block",
    "level2_norm": "features.post_activ.bn",
    "head_logits": "output",
}


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.densenet_cifar`, whose DenseNet-BC is the paper's."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, part = re.fullmatch(r"level(\d)_(block\d+|transition)_?(\w*)", layer).groups()
    conv, norm = re.fullmatch(r"(conv\d)?_?(norm)?", part).groups()
    unit = block.replace("block", "unit")
    if block == "transition":  # there it is the first unit of the next stage
        level, unit = int(level) + 1, f"trans{int(level) + 2}"
    conv = "conv" if block == "transition" else conv
    return f"features.stage{int(level) + 1}.{unit}.{conv}.{'bn' if norm else 'conv'}"

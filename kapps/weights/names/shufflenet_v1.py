"""ShuffleNet."""

import re

ENDS = {
    "stem_conv": "features.init_block.conv",
    "stem_conv_bn": "features.init_block.bn",
    "head_logits": "output",
}
PARTS = {"1": "compress_{}1", "2": "dw_{}2", "3": "expand_{}3"}


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.shufflenet`."""
    if layer in ENDS:
        return ENDS[layer]
    level, block, conv, norm = re.fullmatch(r"level(\d)_block(\d+)_conv(\d)(_bn)?", layer).groups()
    part = PARTS[conv].format("bn" if norm else "conv")
    return f"features.stage{int(level) - 2}.unit{block}.{part}"

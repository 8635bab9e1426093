"""SqueezeNet. torchvision numbers modules and poolings in one sequence."""

import re

TORCHVISION = {"stem_conv": "features.0", "head_logits": "classifier.1"}
PYTORCHCV = {"stem_conv": "features.init_block.conv", "head_logits": "output.final_conv"}

OPTIONS = {
    "torchvision": (("", {"bypass": None}),),
    "pytorchcv": (("squeezeresnet", {"bypass": "simple"}), ("squeezenet", {"bypass": None})),
}


def torchvision(layer: str, layers: list[str]) -> str:
    """Names as in `torchvision.models.squeezenet`; `layers` are the names of all layers, in order."""
    if layer in TORCHVISION:
        return TORCHVISION[layer]
    block, part = re.fullmatch(r"(level\d_block\d)_(\w+)", layer).groups()
    matches = [re.match(r"level\d_(pool$|block\d)", name) for name in layers]
    modules = list(dict.fromkeys(match[0] for match in matches if match))
    return f"features.{2 + modules.index(block)}.{part}"


def pytorchcv(layer: str) -> str:
    """Names as in `pytorchcv.models.squeezenet`."""
    if layer in PYTORCHCV:
        return PYTORCHCV[layer]
    level, block, part = re.fullmatch(r"level(\d)_block(\d)_(\w+)", layer).groups()
    return f"features.stage{int(level) - 1}.unit{block}.{part}.conv"

"""Inception-ResNet."""

import re

TIMM = {
    "stem_conv1": "conv2d_1a",
    "stem_conv2": "conv2d_2a",
    "stem_conv3": "conv2d_2b",
    "stem_conv4": "conv2d_3b",
    "stem_conv5": "conv2d_4a",
    "level5_conv": "conv2d_7b",
}
MODULES = {
    "level3_block0": "mixed_5b",
    "level4_block0": "mixed_6a",
    "level5_block0": "mixed_7a",
    "level5_block10": "block8",
}
KERAS = {"inception_resnet_v2": "InceptionResNetV2"}
BLUE_FIRST = False
BLOCKS = {"3": "block35", "4": "block17", "5": "block8"}
"""Names of the repeated modules in Keras Applications."""
COUNTS = {"3": (5, 7, 6), "4": (72, 4, 4), "5": (156, 7, 4)}
"""By level: the convolutions with a batch norm before the level, in its first module, and in each other module."""
STARTS = {
    "30": (0, 1, 3, 6),
    "3": (0, 1, 3),
    "40": (0, 1),
    "4": (0, 1),
    "50": (0, 2, 4),
    "5": (0, 1),
}
"""By level, with 0 for its first module: the convolutions of the module before each branch."""
REPEATS = {"3": "repeat", "4": "repeat_1", "5": "repeat_2"}


def parts(layer):
    """Returns level, block, branch and convolution (None outside a branch) and kind of a layer."""
    kind = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    level, block, rest = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    match = re.fullmatch(r"branch(\d)_conv(\d)", rest)
    branch, convolution = (int(match[1]), int(match[2])) if match else (None, None)
    return level, int(block), branch, convolution, kind


def timm(layer: str) -> str:
    """Version 2's names as in `timm.models.inception_resnet_v2`."""
    if layer == "head_logits":
        return "classif"
    if layer.removesuffix("_bn") in TIMM:
        return f"{TIMM[layer.removesuffix('_bn')]}.{'bn' if layer.endswith('_bn') else 'conv'}"
    if layer.startswith("level3_conv"):
        return layer  # of version 1, which timm does not have
    level, block, branch, convolution, kind = parts(layer)
    module = MODULES.get(f"level{level}_block{block}", f"{REPEATS[level]}.{block - 1}")
    if layer.endswith("_linear"):
        return f"{module}.conv2d"
    if branch == 4:
        return f"{module}.branch3.1.{kind}"
    single = branch == 1 and not module.startswith("mixed_7a")
    return f"{module}.branch{branch - 1}.{kind if single else f'{convolution - 1}.{kind}'}"


def pytorchcv(layer: str) -> str:
    """Version 1's names as in `pytorchcv.models.inceptionresnetv1`, whose classifier differs."""
    if layer == "head_logits":
        return "output"
    kind = "bn" if layer.endswith("_bn") else "conv"
    plain = layer.removesuffix("_bn")
    if not plain.startswith(("stem", "level")):
        raise KeyError(layer)
    if plain.startswith("stem") or not re.match(r"level\d_block", plain):
        return f"features.init_block.{'conv6' if plain == 'level3_conv' else plain[5:]}.{kind}"
    level, block, branch, convolution, kind = parts(layer)
    unit = f"features.stage{int(level) - 2}.unit{block if level == '3' else block + 1}"
    if branch is None:
        return f"{unit}.conv"
    single = branch == 1 and block != 0
    place = "conv" if single else f"conv_list.conv{convolution}"
    return f"{unit}.branches.branch{branch}.{place}.{kind}"


def keras(layer: str) -> str:
    """Version 2's names as in `keras.applications.inception_resnet_v2`, with automatic names numbered from 1."""
    if layer == "head_logits":
        return "predictions"
    if layer.startswith("level5_conv"):
        return layer.replace("level5_conv", "conv_7b")
    kind = "batch_normalization" if layer.endswith("_bn") else "conv2d"
    if layer.startswith("stem_conv"):
        return f"{kind}:{layer.removesuffix('_bn')[-1]}"
    level, block, branch, convolution, _ = parts(layer)
    if layer.endswith("_linear"):
        return f"{BLOCKS[level]}_{block}_conv"
    before, first, other = COUNTS[level]
    number = before + (first + (block - 1) * other if block else 0)
    starts = STARTS[level if block else f"{level}0"]
    return f"{kind}:{number + (starts[branch - 1] + convolution if branch else first)}"

"""Inception-ResNet."""

import re

TIMM = {
    "tail_conv1": "conv2d_1a",
    "tail_conv2": "conv2d_2a",
    "tail_conv3": "conv2d_2b",
    "tail_conv4": "conv2d_3b",
    "tail_conv5": "conv2d_4a",
    "level5_conv": "conv2d_7b",
}
MODULES = {
    "level3_block0": "mixed_5b",
    "level4_block0": "mixed_6a",
    "level5_block0": "mixed_7a",
    "level5_block10": "block8",
}
REPEATS = {"3": "repeat", "4": "repeat_1", "5": "repeat_2"}


def parts(layer):
    """Returns level, block, branch, convolution (those two None for others than a branch's) and kind."""
    kind = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    level, block, rest = re.fullmatch(r"level(\d)_block(\d+)_(\w+)", layer).groups()
    place = re.fullmatch(r"branch(\d)_conv(\d)", rest)
    branch, convolution = (int(place[1]), int(place[2])) if place else (None, None)
    return level, int(block), branch, convolution, kind


def timm(layer):
    """Version 2's names as in `timm.models.inception_resnet_v2`."""
    if layer == "head_logits":
        return "classif"
    if layer.removesuffix("_bn") in TIMM:
        return f"{TIMM[layer.removesuffix('_bn')]}.{'bn' if layer.endswith('_bn') else 'conv'}"
    if layer.startswith("level3_conv"):
        return layer  # version 1's, which timm has not
    level, block, branch, convolution, kind = parts(layer)
    module = MODULES.get(f"level{level}_block{block}", f"{REPEATS[level]}.{block - 1}")
    if layer.endswith("_linear"):
        return f"{module}.conv2d"
    if branch is None:
        return f"{module}.branch3.1.{kind}"
    alone = branch == 1 and not module.startswith("mixed_7a")
    return f"{module}.branch{branch - 1}.{kind if alone else f'{convolution - 1}.{kind}'}"


def pytorchcv(layer):
    """Version 1's names as in `pytorchcv.models.inceptionresnetv1`, whose classifier is another."""
    if layer == "head_logits":
        return "output"
    kind = "bn" if layer.endswith("_bn") else "conv"
    plain = layer.removesuffix("_bn")
    if plain.startswith("tail") or not re.match(r"level\d_block", plain):
        return f"features.init_block.{'conv6' if plain == 'level3_conv' else plain[5:]}.{kind}"
    level, block, branch, convolution, kind = parts(layer)
    unit = f"features.stage{int(level) - 2}.unit{block if level == '3' else block + 1}"
    if branch is None:
        return f"{unit}.conv"
    alone = branch == 1 and block != 0
    place = "conv" if alone else f"conv_list.conv{convolution}"
    return f"{unit}.branches.branch{branch}.{place}.{kind}"

"""Segmentation models: torchvision's, pytorch-fcn's, and those of SegNet's authors."""

import re

from kapps.weights.names import resnet

PADDING = {"pytorch_fcn": None, "alexgkendall": None}
"""Their poolings have Caffe's padding, which is neither "symmetric" nor "same" on all maps."""
FCN = {
    "head_conv": "classifier.0",
    "head_conv_bn": "classifier.1",
    "head_logits": "classifier.4",
    "auxiliary1_conv": "aux_classifier.0",
    "auxiliary1_conv_bn": "aux_classifier.1",
    "auxiliary1_logits": "aux_classifier.4",
}
DEEPLAB = {
    **FCN,
    "head_conv": "classifier.1",
    "head_conv_bn": "classifier.2",
    "head_aspp_project": "classifier.0.project.0",
    "head_aspp_project_bn": "classifier.0.project.1",
}
PYTORCH_FCN = {
    "level5_fc6": "fc6",
    "level5_fc7": "fc7",
    "head_score5": "score_fr",
    "head_score4": "score_pool4",
    "head_score3": "score_pool3",
    "head_up4": "upscore2",
    "head_up3": "upscore_pool4",
}


def torchvision(layer: str, layers: list[str]) -> str:
    """Names as in `torchvision.models.segmentation`; `layers` are the names of all layers, in order."""
    if layer.startswith(("level", "stem")):
        return f"backbone.{resnet.torchvision(layer)}"
    branches = [name for name in layers if re.fullmatch(r"head_aspp_conv\d+", name)]
    branch = re.fullmatch(r"head_aspp_(?:conv(\d+)|(pooled))(_bn)?", layer)
    if branch is None:
        return (DEEPLAB if branches else FCN)[layer]
    number, pooled, norm = branch.groups()
    number = len(branches) if pooled else int(number)
    part = bool(norm) + bool(pooled)  # the pooling is the first part of its branch
    return f"classifier.0.convs.{number}.{part}"


def torchvision_fpn(layer: str, layers: list[str]) -> str:
    """Names as in torchvision's `BackboneWithFPN` of a ResNet; `layers` are the names of all layers, in order."""
    part = re.fullmatch(r"level(\d)_fpn_(lateral|conv)", layer)
    if part is None:
        return f"body.{resnet.torchvision(layer)}"
    laterals = [re.fullmatch(r"level(\d)_fpn_lateral", name) for name in layers]
    levels = sorted(int(match[1]) for match in laterals if match)
    level = int(part[1])
    if level not in levels:
        return f"fpn.extra_blocks.p{level}"
    blocks = {"lateral": "inner_blocks", "conv": "layer_blocks"}[part[2]]
    return f"fpn.{blocks}.{levels.index(level)}.0"


def pytorch_fcn(layer: str, layers: list[str]) -> str:
    """Names as in github.com/wkentaro/pytorch-fcn; `layers` are the names of all layers, in order."""
    if layer == "head_up":
        scores = [re.fullmatch(r"head_score(\d)", name) for name in layers]
        finest = min(int(match[1]) for match in scores if match)
        return {5: "upscore", 4: "upscore16", 3: "upscore8"}[finest]
    if layer in PYTORCH_FCN:
        return PYTORCH_FCN[layer]
    level, number = re.fullmatch(r"level(\d)_conv(\d)", layer).groups()
    return f"conv{int(level) + 1}_{number}"


def alexgkendall(layer: str) -> str:
    """Names as in github.com/alexgkendall/SegNet-Tutorial, the networks of SegNet's authors, not SegNet-Basic."""
    if layer == "head_logits":
        return "conv1_1_D"
    half, level, number, norm = re.fullmatch(
        r"(head_)?level(\d)_conv(\d)(_bn)?", layer
    ).groups()  # fmt: skip
    return f"conv{int(level) + 1}_{number}{'_D' if half else ''}{norm or ''}"

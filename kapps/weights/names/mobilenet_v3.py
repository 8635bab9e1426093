"""MobileNet V3."""

from kapps.weights.names import efficientnet
from kapps.weights.names._stages import place

PADDING = {"timm": None, "keras": "same"}
"""timm's `mobilenetv3_small_100` and `tf_mobilenetv3_small_100` have the same names and another padding and epsilon."""
OPTIONS = {
    "torchvision": (("", {"epsilon": 1e-3}),),
    "timm": (("tf_", {"epsilon": 1e-3}), ("mobilenetv3_", {"epsilon": 1e-5})),
}
LARGE, SMALL = "MobileNetV3Large", "MobileNetV3Small"
PIXELS = {"include_preprocessing": False}
"""Keras Applications' networks may contain the preprocessing, which kapps's pipelines do."""
KERAS = {
    "mobilenet_v3_large_035": (LARGE, {"alpha": 0.35, **PIXELS}),
    "mobilenet_v3_large_050": (LARGE, {"alpha": 0.5, **PIXELS}),
    "mobilenet_v3_large_075": (LARGE, {"alpha": 0.75, **PIXELS}),
    "mobilenet_v3_large": (LARGE, PIXELS),
    "mobilenet_v3_large_125": (LARGE, {"alpha": 1.25, **PIXELS}),
    "mobilenet_v3_large_minimalistic": (LARGE, {"minimalistic": True, **PIXELS}),
    "mobilenet_v3_small_035": (SMALL, {"alpha": 0.35, **PIXELS}),
    "mobilenet_v3_small_075": (SMALL, {"alpha": 0.75, **PIXELS}),
    "mobilenet_v3_small": (SMALL, PIXELS),
    "mobilenet_v3_small_125": (SMALL, {"alpha": 1.25, **PIXELS}),
    "mobilenet_v3_small_minimalistic": (SMALL, {"minimalistic": True, **PIXELS}),
}
BLUE_FIRST = False
APPLICATIONS = {
    "stem_conv": "conv",
    "stem_conv_bn": "conv_bn",
    "level5_conv": "conv_1",
    "level5_conv_bn": "conv_1_bn",
    "head_dense1": "conv_2",
    "head_logits": "logits",
}
SE = {"se_reduce": "squeeze_excite_conv", "se_expand": "squeeze_excite_conv_1"}


def timm(layer: str, names: list[str]) -> str:
    """Names as of `mobilenetv3_large_100` in `timm.models.mobilenetv3`."""
    if layer == "head_dense1":
        return "conv_head"
    # In Small the channels of two stages are equal with some multipliers.
    first = () if "level4_block6_project" in names else ("level4_block4",)
    if layer.startswith("level5_conv"):
        stages = 1 + place(f"{_blocks(names)[-1]}_project", names, first)[0]
        return f"blocks.{stages}.0.{'bn1' if layer.endswith('_bn') else 'conv'}"
    return efficientnet.timm_blocks(layer, names, first)


def torchvision(layer: str, names: list[str]) -> str:
    """Names as in `torchvision.models.mobilenetv3`, which numbers blocks and the parts of a block."""
    if layer.startswith("head"):
        return {"head_dense1": "classifier.0", "head_logits": "classifier.3"}[layer]
    if layer.startswith(("stem_conv", "level5_conv")):
        number = 0 if layer.startswith("stem") else 1 + len(_blocks(names))
        return f"features.{number}.{int(layer.endswith('_bn'))}"
    block, number, part = _block(layer, names)
    parts = [p for p in ("expand", "depthwise", "se_reduce", "project") if f"{block}_{p}" in names]
    kind = part.removesuffix("_bn").replace("se_expand", "se_reduce")
    end = {"se_reduce": "fc1", "se_expand": "fc2"}.get(part, int(part.endswith("_bn")))
    return f"features.{1 + number}.block.{parts.index(kind)}.{end}"


def keras(layer: str, names: list[str]) -> str:
    """Names as in `keras.applications.mobilenet_v3`, whose first block has no number."""
    if layer in APPLICATIONS:
        return APPLICATIONS[layer]
    _, number, part = _block(layer, names)
    return f"{f'expanded_conv_{number}' if number else 'expanded_conv'}_{SE.get(part, part)}"


def _blocks(names):
    return [name.removesuffix("_project") for name in names if name.endswith("_project")]


def _block(layer, names):
    """Returns (block, its number from 0, part) of a layer "level<n>_block<m>_<part>"."""
    level, block, part = layer.split("_", 2)
    return f"{level}_{block}", _blocks(names).index(f"{level}_{block}"), part

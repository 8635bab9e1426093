"""EfficientNet."""

from kapps.weights.names._stages import block_part, place

ENDS = {
    "stem_conv": "conv_stem",
    "stem_conv_bn": "bn1",
    "level5_conv": "conv_head",
    "level5_conv_bn": "bn2",
    "head_logits": "classifier",
}
PARTS = {
    "expand": "conv_pw",
    "expand_bn": "bn1",
    "depthwise": "conv_dw",
    "depthwise_bn": "bn2",
    "se_reduce": "se.conv_reduce",
    "se_expand": "se.conv_expand",
    "project": "conv_pwl",
    "project_bn": "bn3",
}
PADDING = {"timm": None, "lukemelas": "same"}
"""timm's `efficientnet_b0` and `tf_efficientnet_b0` have the same names and another padding."""
UNEXPANDED = PARTS | {"depthwise_bn": "bn1", "project": "conv_pw", "project_bn": "bn2"}
LUKEMELAS_ENDS = {
    "stem_conv": "_conv_stem",
    "stem_conv_bn": "_bn0",
    "level5_conv": "_conv_head",
    "level5_conv_bn": "_bn1",
    "head_logits": "_fc",
}
LUKEMELAS_PARTS = {
    "expand": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "se_reduce": "_se_reduce",
    "se_expand": "_se_expand",
    "project": "_project_conv",
    "project_bn": "_bn2",
}


def lukemelas(layer: str, names: list[str]) -> str:
    """Names as in `efficientnet_pytorch` and `efficientnet_lite_pytorch`, which number the blocks of all stages."""
    if layer in LUKEMELAS_ENDS:
        return LUKEMELAS_ENDS[layer]
    blocks = [name.removesuffix("_project") for name in names if name.endswith("_project")]
    level, block, part = block_part(layer)
    return f"_blocks.{blocks.index(f'level{level}_block{block}')}.{LUKEMELAS_PARTS[part]}"


def timm(layer: str, names: list[str]) -> str:
    """Names as in timm's tf_efficientnet_b0 to b7 and tf_efficientnet_lite0 to lite4."""
    return timm_blocks(layer, names)


def timm_blocks(layer: str, names: list[str], first: tuple[str, ...] = ()) -> str:
    """Names of all families that timm builds of these blocks; `first` is that of `place`."""
    if layer in ENDS:
        return ENDS[layer]
    stage, block, part = place(layer, names, first)
    is_expanded = layer.removesuffix(part) + "expand" in names
    return f"blocks.{stage}.{block}.{(PARTS if is_expanded else UNEXPANDED)[part]}"

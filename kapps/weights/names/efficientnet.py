"""EfficientNet."""

from kapps.weights.names._stages import place

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
PADDING = {"timm": None}
"""timm's `efficientnet_b0` and `tf_efficientnet_b0` have the same names and another padding."""
UNEXPANDED = PARTS | {"depthwise_bn": "bn1", "project": "conv_pw", "project_bn": "bn2"}


def timm(layer: str, names: list[str]) -> str:
    """Names as in timm's tf_efficientnet_b0 to b7."""
    return timm_blocks(layer, names)


def timm_blocks(layer: str, names: list[str], first: tuple[str, ...] = ()) -> str:
    """Names of all families that timm builds of these blocks; `first` is that of `place`."""
    if layer in ENDS:
        return ENDS[layer]
    stage, block, part = place(layer, names, first)
    is_expanded = layer.removesuffix(part) + "expand" in names
    return f"blocks.{stage}.{block}.{(PARTS if is_expanded else UNEXPANDED)[part]}"

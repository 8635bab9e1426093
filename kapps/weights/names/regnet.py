"""RegNetX and RegNetY."""

from kapps.weights.names._stages import block_part

TIMM = {
    "stem_conv": "stem.conv",
    "stem_conv_bn": "stem.bn",
    "head_logits": "head.fc",
    "shortcut": "downsample.conv",
    "shortcut_bn": "downsample.bn",
    "se_reduce": "se.fc1",
    "se_expand": "se.fc2",
}
TORCHVISION = {
    "stem_conv": "stem.0",
    "stem_conv_bn": "stem.1",
    "head_logits": "fc",
    "shortcut": "proj.0",
    "shortcut_bn": "proj.1",
    "se_reduce": "f.se.fc1",
    "se_expand": "f.se.fc2",
}


def timm(layer: str) -> str:
    """Names as in `timm.models.regnet`."""
    if layer in TIMM:
        return TIMM[layer]
    level, block, part = block_part(layer)
    part = TIMM.get(part) or f"{part[:5]}.{'bn' if part.endswith('_bn') else 'conv'}"
    return f"s{level - 1}.b{block}.{part}"


def torchvision(layer: str) -> str:
    """Names as in `torchvision.models.regnet`, whose x_400mf, y_800mf and y_8gf are wider than the paper's."""
    if layer in TORCHVISION:
        return TORCHVISION[layer]
    level, block, part = block_part(layer)
    part = TORCHVISION.get(part) or f"f.{'abc'[int(part[4]) - 1]}.{int(part.endswith('_bn'))}"
    return f"trunk_output.block{level - 1}.block{level - 1}-{block - 1}.{part}"

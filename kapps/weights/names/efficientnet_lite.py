"""EfficientNet-Lite, whose layers have EfficientNet's names."""

from kapps.weights.names import efficientnet

PADDING = efficientnet.PADDING


def timm(layer: str, names: list[str]) -> str:
    """Names as in timm's tf_efficientnet_lite0 to lite4."""
    return efficientnet.timm(layer, names)


def lukemelas(layer: str, names: list[str]) -> str:
    """Names as in `efficientnet_lite_pytorch`."""
    return efficientnet.lukemelas(layer, names)

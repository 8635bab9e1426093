"""EfficientNet-Lite: the names of EfficientNet."""

from kapps.weights.names.efficientnet import PADDING, lukemelas, timm

__all__ = ["PADDING", "lukemelas", "timm"]

"""AnyNet, whose layers are named as RegNet's."""

from kapps.weights.names.regnet import timm, torchvision

__all__ = ["timm", "torchvision"]

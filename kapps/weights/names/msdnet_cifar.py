"""MSDNet for CIFAR: the names of MSDNet."""

from kapps.weights.names.msdnet import kalviny

__all__ = ["kalviny"]

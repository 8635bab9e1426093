"""Weights of other libraries' networks, into ours and back."""

from kapps.weights.interchange import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]

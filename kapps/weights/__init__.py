"""Weights of other libraries' networks, into ours and back."""

from kapps.weights.applications import from_keras, to_keras
from kapps.weights.interchange import from_torch, to_torch

__all__ = ["from_keras", "from_torch", "to_keras", "to_torch"]

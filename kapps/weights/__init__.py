"""Weights of the same networks in other libraries: converted to Keras and back, downloaded and loaded from files."""

from kapps._names import attribute_finder
from kapps.weights.keras_applications import from_keras, to_keras
from kapps.weights.torch_state_dict import from_torch, to_torch

__all__ = ["from_keras", "from_torch", "to_keras", "to_torch"]

__getattr__ = attribute_finder(__name__)

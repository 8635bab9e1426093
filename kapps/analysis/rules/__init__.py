"""The rules of Keras's own layers and operations, by what they do. Importing this registers all."""

from kapps.analysis.rules import attention, convolution, layers, operations, recurrent

__all__ = ["attention", "convolution", "layers", "operations", "recurrent"]

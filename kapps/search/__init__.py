"""Search of architectures: design spaces, and compound scaling.

kapps.search.design_space    samples AnyNet and RegNet, and compares populations of networks by their errors
kapps.search.compound_scale  depth, width and resolution of EfficientNet's formula
"""

from kapps._names import attribute_finder
from kapps.search import design_space
from kapps.search.compound_scaling import CompoundScale, compound_scale

__all__ = ["CompoundScale", "compound_scale", "design_space"]

__getattr__ = attribute_finder(__name__)

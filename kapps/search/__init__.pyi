from . import design_space as design_space
from . import spaces as spaces
from .compound_scaling import CompoundScale as CompoundScale
from .compound_scaling import compound_scale as compound_scale
from .building import build as build

from . import design_space as design_space
from . import methods as methods
from . import spaces as spaces
from .building import build as build
from .compound_scaling import CompoundScale as CompoundScale
from .compound_scaling import compound_scale as compound_scale
from .published_table import PublishedTable as PublishedTable
from .published_table import incumbents as incumbents

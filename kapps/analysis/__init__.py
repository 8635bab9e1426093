"""What a Keras model takes: multiply-accumulates, parameters, memory, receptive fields, layer by layer."""

from kapps.analysis import rules
from kapps.analysis.costs import Cost, UnknownCost, Window, register
from kapps.analysis.fields import Field
from kapps.analysis.profiling import profile
from kapps.analysis.results import Group, Profile, Row

__all__ = [
    "Cost",
    "Field",
    "Group",
    "Profile",
    "Row",
    "UnknownCost",
    "Window",
    "profile",
    "register",
    "rules",
]

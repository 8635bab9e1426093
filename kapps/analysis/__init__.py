"""Costs of a Keras model: multiply-accumulates, parameters, memory and receptive fields, layer by layer."""

from kapps._names import attribute_finder
from kapps.analysis import cost_rules
from kapps.analysis.binary_savings import binary_savings
from kapps.analysis.costs import Cost, UnknownCostError, Window, register_cost
from kapps.analysis.exits import exit_costs
from kapps.analysis.page import html_page
from kapps.analysis.product_key_usage import product_key_usage
from kapps.analysis.profiling import profile
from kapps.analysis.receptive_field import ReceptiveField
from kapps.analysis.results import Group, Profile, Row

__all__ = [
    "Cost",
    "Group",
    "Profile",
    "ReceptiveField",
    "Row",
    "UnknownCostError",
    "Window",
    "binary_savings",
    "cost_rules",
    "exit_costs",
    "html_page",
    "product_key_usage",
    "profile",
    "register_cost",
]

__getattr__ = attribute_finder(__name__)

"""Builders: what `kapps.variants` makes of a family's body and of each row of its table."""

from kapps.builders.base import Builder, unknown_options
from kapps.builders.pictures import Pictures
from kapps.builders.sequences import Sequences

__all__ = ["Builder", "Pictures", "Sequences", "unknown_options"]

"""Builders: what makes a `keras.Model` of a family's body and of each row of its table."""

from kapps.builders._builder import Builder, unknown_options
from kapps.builders.image import Images
from kapps.builders.levels import levels
from kapps.builders.sequence import Sequences
from kapps.builders.variant import image_family, pyramid_outputs, sequence_family, variant

__all__ = [
    "Builder",
    "Images",
    "Sequences",
    "image_family",
    "levels",
    "pyramid_outputs",
    "sequence_family",
    "unknown_options",
    "variant",
]

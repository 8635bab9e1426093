"""Builders: the functions that make a `keras.Model` of a family's body.

A family file decorates its body, a function from an image to a feature map, with `image_family`, and lists its
variants, one line each:

    @image_family(minimum=32)
    def body(x, *, depths, block=bottleneck): ...

    resnet50 = variant(body, "resnet50", depths=(3, 4, 6, 3), paper="arXiv:1512.03385", params=25_557_032)

`kapps.resnet50()` builds the variant, `kapps.families.resnet(depths=(2, 2, 2, 2))` any other member of the family.
The body of a network on sequences is decorated with `sequence_family`.
"""

from kapps._names import attribute_finder
from kapps.builders.image import image_family
from kapps.builders.levels import levels
from kapps.builders.pyramid import pyramid_outputs
from kapps.builders.sequence import sequence_family
from kapps.builders.variant import variant

__all__ = ["image_family", "levels", "pyramid_outputs", "sequence_family", "variant"]

__getattr__ = attribute_finder(__name__)

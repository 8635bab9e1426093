"""The family functions, which build any member of a family: `kapps.families.resnet(depths=(2, 2, 2, 2))`.

A family function takes the arguments of the family's builders and the options of its body. Importing this module does
not load Keras; the first use of a function does.
"""

import importlib

from kapps._names import nearest
from kapps.cards import family_modules

__all__ = list(family_modules())


def __dir__():
    return __all__


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"kapps.families has no {name!r}.{nearest(name, __all__)}")
    return importlib.import_module(family_modules()[name]).body

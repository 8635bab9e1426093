"""Search of architectures: spaces of networks, methods, judges, design spaces, and compound scaling.

    kapps.search.spaces         the cells of NAS-Bench-201, the networks of NAS-Bench-Macro, AnyNet
    kapps.search.methods        random search, evolution, REINFORCE, progressive search and others: ask, tell, best
    kapps.search.build          the network of a cell
    kapps.search.design_space   samples AnyNet and RegNet, and compares populations of networks by their errors
    kapps.search.compound_scale depth, width and resolution of EfficientNet's formula

Every submodule is loaded on first use. `__init__.pyi` lists the public names.
"""

import lazy_loader

from kapps._names import attribute_finder

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = attribute_finder(__name__, _load)

"""What Keras lacks to train a model; the loop stays `model.fit`.

The names load lazily, as `__init__.pyi` lists them: `import kapps.training.losses` does not import TensorFlow.
"""

import lazy_loader

from kapps._names import attribute_finder

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = attribute_finder(__name__, _load)

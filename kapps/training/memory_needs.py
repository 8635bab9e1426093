"""The memory that a training needs at least, compared with that of the machine before anything is allocated."""

import math
from collections.abc import Callable

import keras

from kapps._available_memory import available_memory

BATCH_COPIES = 4
"""Number of float32 copies of a batch at least: decoded, augmented, waiting, and its first features."""
WEIGHT_COPIES = 3
"""Number of copies of the weights in a training at least: the weights, their gradients, and the optimizer's."""


def require_memory(size: float, advice: str) -> None:
    """Raises ValueError if a training needs more memory than there is.

    Args:
        size: bytes that the training needs at least.
        advice: what to do, such as "lower --batch_size or --image_size".
    """
    available = available_memory()
    if size > available:
        raise ValueError(
            f"the training needs at least {size / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB are available: "
            f"{advice}"
        )


def image_memory(batch_size: int, height: int, width: int, channels: int = 3) -> int:
    """Returns the bytes that a batch of images needs in a training at least."""
    return BATCH_COPIES * 4 * batch_size * height * width * channels


def recurrent_memory(batch_size: int, length: int, units: tuple[int, ...], outputs: int = 0) -> int:
    """Returns the bytes that a recurrent network needs in a training at least.

    Args:
        batch_size: sequences of a batch.
        length: steps of a sequence.
        units: units of each layer.
        outputs: size of the output of each step.
    """
    weights = sum(4 * width * width for width in units)
    activations = batch_size * length * (sum(units) + 2 * outputs)
    return 4 * (WEIGHT_COPIES * weights + BATCH_COPIES * activations)


def weight_memory(build: Callable[[], keras.Model]) -> int:
    """Returns the bytes of the weights of a model, which is built without allocating them.

    Args:
        build: function that builds the model.
    """
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    size = sum(4 * math.prod(variable.shape) for variable in model.variables)
    del model
    # Keras lists the variables to give them values later.
    keras.utils.clear_session(free_memory=False)
    return size

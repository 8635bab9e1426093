"""A limit of the weights that a builder may declare: those that fit into the memory that is available."""

import contextlib
import contextvars
import math
import threading

import keras

from kapps._available_memory import available_memory

_limit = contextvars.ContextVar("kapps_weight_limit", default=None)
_lock, _users = threading.Lock(), []
_add_weight = keras.layers.Layer.add_weight


@contextlib.contextmanager
def limit_weights(name: str):
    """Raises ValueError in one line before a layer allocates weights that do not fit into memory.

    Keras has no hook for this. While the context is open, `Layer.add_weight` is replaced; other threads are passed to
    Keras.

    Args:
        name: of the model, for the error.
    """
    token = _limit.set({"name": name, "bytes": 0, "available": available_memory()})
    with _lock:
        if not _users:
            keras.layers.Layer.add_weight = _counted
        _users.append(name)
    try:
        yield
    finally:
        with _lock:
            _users.remove(name)
            if not _users:
                keras.layers.Layer.add_weight = _add_weight
        _limit.reset(token)


def _counted(layer, *args, shape=None, **arguments):
    limit = _limit.get()
    if limit is not None and shape is not None:
        sizes = [shape] if isinstance(shape, int) else shape
        limit["bytes"] += 4 * math.prod(size or 0 for size in sizes)
        if limit["bytes"] > limit["available"]:
            raise ValueError(
                f"{limit['name']}: its weights need more than {limit['bytes'] / 2**30:,.1f} GiB, and "
                f"{limit['available'] / 2**30:,.1f} GiB of memory are available"
            )
    return _add_weight(layer, *args, shape=shape, **arguments)

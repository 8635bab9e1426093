"""Leads Keras's calls on symbolic tensors to a trace, for a while, in one thread.

Keras has no hook for this: while a trace runs, `Layer.__call__` and `Operation.symbolic_call` stand replaced, and
afterwards they are Keras's own again. Other threads' calls pass through to Keras.
"""

import contextlib
import contextvars
import threading

import keras
from keras import tree

_current = contextvars.ContextVar("kapps_trace", default=None)
_lock, _running = threading.Lock(), []


@contextlib.contextmanager
def following(trace):
    """Leads the calls of layers and operations in this thread to a trace."""
    token, filtered = _current.set(trace), keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()  # it would write arguments into our errors
    with _lock:
        if not _running:
            keras.layers.Layer.__call__ = _layer_call
            keras.Operation.symbolic_call = _operation_call
        _running.append(trace)
    try:
        yield
    finally:
        with _lock:
            _running.remove(trace)
            if not _running:
                keras.layers.Layer.__call__ = _keras_layer_call
                keras.Operation.symbolic_call = _keras_operation_call
        _current.reset(token)
        if filtered:
            keras.config.enable_traceback_filtering()


_keras_layer_call = keras.layers.Layer.__call__
_keras_operation_call = keras.Operation.symbolic_call


def _layer_call(layer, *args, **kwargs):
    trace = _current.get()
    if trace is None or not any(
        isinstance(x, keras.KerasTensor) for x in tree.flatten((args, kwargs))
    ):
        return _keras_layer_call(layer, *args, **kwargs)
    return trace.call(layer, args, kwargs)


def _operation_call(operation, *args, **kwargs):
    trace = _current.get()
    if trace is None:
        return _keras_operation_call(operation, *args, **kwargs)
    return trace.call(operation, args, kwargs)


@contextlib.contextmanager
def unfollowed():
    """Lets calls in this thread go to Keras again."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)

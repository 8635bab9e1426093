"""Redirects Keras's calls on symbolic tensors to a trace, in one thread, while a context is open.

Keras has no hook for this. While a trace runs, `Layer.__call__` and `Operation.symbolic_call` are replaced; afterwards
they are restored. Calls in other threads are passed to Keras.
"""

import contextlib
import contextvars
import threading

import keras
from keras import tree

_current_trace = contextvars.ContextVar("kapps_trace", default=None)
_lock, _running_traces = threading.Lock(), []
_keras_layer_call = keras.layers.Layer.__call__
_keras_operation_call = keras.Operation.symbolic_call


@contextlib.contextmanager
def redirect_calls(trace):
    """Redirects the calls of layers and operations in this thread to `trace.call`."""
    token, filtered = _current_trace.set(trace), keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()  # it would add the arguments to our error messages
    with _lock:
        if not _running_traces:
            keras.layers.Layer.__call__ = _layer_call
            keras.Operation.symbolic_call = _operation_call
        _running_traces.append(trace)
    try:
        yield
    finally:
        with _lock:
            _running_traces.remove(trace)
            if not _running_traces:
                keras.layers.Layer.__call__ = _keras_layer_call
                keras.Operation.symbolic_call = _keras_operation_call
        _current_trace.reset(token)
        if filtered:
            keras.config.enable_traceback_filtering()


@contextlib.contextmanager
def call_keras():
    """Passes the calls in this thread to Keras again."""
    token = _current_trace.set(None)
    try:
        yield
    finally:
        _current_trace.reset(token)


def _layer_call(layer, *args, **kwargs):
    trace = _current_trace.get()
    if trace is not None and any(map(_is_symbolic, tree.flatten((args, kwargs)))):
        return trace.call(layer, args, kwargs)
    return _keras_layer_call(layer, *args, **kwargs)


def _is_symbolic(x):
    return isinstance(x, keras.KerasTensor)


def _operation_call(operation, *args, **kwargs):
    trace = _current_trace.get()
    if trace is None:
        return _keras_operation_call(operation, *args, **kwargs)
    return trace.call(operation, args, kwargs)

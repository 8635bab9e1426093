"""Redirects Keras's calls to a trace, in one thread, while a context is open.

Keras has no hook for this. While a trace runs, the methods that call layers and operations are replaced; afterwards
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
_keras_symbolic_call, _keras_operation_call = (
    keras.Operation.symbolic_call,
    keras.Operation.__call__,
)


@contextlib.contextmanager
def redirect_calls(trace, *, of_values=False):
    """Redirects the calls of layers and operations in this thread to `trace.call`.

    Args:
        trace: object with a method `call(operation, args, kwargs)`, which returns the outputs.
        of_values: whether calls on tensors with values are redirected, and not those on symbolic tensors.
    """
    token = _current_trace.set((trace, of_values))
    filtered = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()  # it would add the arguments to our error messages
    with _lock:
        if not _running_traces:
            keras.layers.Layer.__call__ = _layer_call
            keras.Operation.__call__ = _operation_call
            keras.Operation.symbolic_call = _symbolic_call
        _running_traces.append(trace)
    try:
        yield
    finally:
        with _lock:
            _running_traces.remove(trace)
            if not _running_traces:
                keras.layers.Layer.__call__ = _keras_layer_call
                keras.Operation.__call__ = _keras_operation_call
                keras.Operation.symbolic_call = _keras_symbolic_call
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


def call_by_keras(operation, args, kwargs):
    """Returns the outputs of Keras's own call; the calls inside it are still redirected."""
    is_layer = isinstance(operation, keras.layers.Layer)
    return (_keras_layer_call if is_layer else _keras_operation_call)(operation, *args, **kwargs)


def _trace_of(args, kwargs):
    """Returns the trace that takes a call with these arguments, or None."""
    current = _current_trace.get()
    if current is None:
        return None
    trace, of_values = current
    return None if any(map(_is_symbolic, tree.flatten((args, kwargs)))) == of_values else trace


def _is_symbolic(x):
    return isinstance(x, keras.KerasTensor)


def _layer_call(layer, *args, **kwargs):
    trace = _trace_of(args, kwargs)
    return (
        _keras_layer_call(layer, *args, **kwargs)
        if trace is None
        else trace.call(layer, args, kwargs)
    )


def _operation_call(operation, *args, **kwargs):
    """Redirects the call of an operation with values in a functional model; a layer's call ends here too."""
    trace = None
    if not isinstance(operation, keras.layers.Layer):
        trace = _trace_of(args, kwargs)
    if trace is None or not _current_trace.get()[1]:
        return _keras_operation_call(operation, *args, **kwargs)
    return trace.call(operation, args, kwargs)


def _symbolic_call(operation, *args, **kwargs):
    current = _current_trace.get()
    if current is None or current[1]:
        return _keras_symbolic_call(operation, *args, **kwargs)
    return current[0].call(operation, args, kwargs)

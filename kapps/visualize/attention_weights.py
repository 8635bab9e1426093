"""The attention weights of a model for given inputs: of every attention layer, also inside other layers and models."""

import dataclasses
import inspect

import keras
import numpy as np
from keras import ops

from kapps._keras_compat import get_mask, without_flash_attention
from kapps.layers import Alignment, AttentionRNN, ReverseSequence
from kapps.visualize import _layer_calls
from kapps.visualize._weights_by_values import READERS

CROSS_KINDS = (Alignment, AttentionRNN, keras.layers.MultiHeadAttention)
"""The layers that may attend from a target to a source."""
OPTION = "return_attention_scores"
"""The argument of the call of an attention layer, of Keras or of kapps, that returns its weights too."""


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """The weights of one call of an attention layer.

    Args:
        weights: float32 (batch, heads, queries, keys). A layer without heads has one. The queries and keys of maps are
            their pixels, row by row; a layer with one query for an example, such as a memory's, has one.
        query_mask: bool (batch, queries), False for padding; all True where the layer's input has no mask.
        key_mask: bool (batch, keys).
    """

    weights: np.ndarray
    query_mask: np.ndarray
    key_mask: np.ndarray


def attention_weights(
    model: keras.Model, inputs, *, cross_only: bool = False
) -> dict[str, np.ndarray]:
    """Returns the weights of a model's attention layers: {layer name: float32 (batch, ..., queries, keys)}.

    The second call of a layer that is called several times is named "layer_call2", and so on; a layer in a nested model
    or in another layer by its path, such as "encoder/attention". Each row of weights sums to 1, except in a "local_p"
    window (see `kapps.layers.Alignment`) and where a layer attends to something else too, such as the persistent
    vectors of `kapps.layers.AllAttention`. Masked positions have a weight of 0.

    Flash attention, which has no weights, is off in the call. The layers of Keras, and those of kapps with the call's
    argument return_attention_scores, return their weights; those of the sparse, adaptive-span, LSH, pixel, double
    and two-dimensional attention are read from their outputs, which are linear in the values. Part attention has a
    query for each part.

    Args:
        model: a `keras.Model`, also a nested one, a subclassed one or one loaded from a file.
        inputs: the model's input arrays; a list [source, target] for a model with two inputs.
        cross_only: return only the weights of layers that attend from a target to a source (encoder-decoder attention):
            (batch, target time, source time), with heads (batch, heads, target time, source time). The source is in its
            own order, also if the encoder reads it reversed, and rows of padding in the target are 0.

    Raises:
        ValueError: if the model has no attention layer; with cross_only, if it has no attention from a target to a
            source.
    """
    calls = _attention_calls(model, inputs, cross_only)
    weights = {name: values for name, (values, _, _) in calls.items()}
    if not weights and cross_only:
        raise ValueError(
            f"{model.name} has no layer that attends from a target to a source; the families transformer, bahdanau and "
            "luong have one"
        )
    if not weights:
        raise ValueError(f"{model.name} has no attention layer")
    if not cross_only:
        return weights
    source, target = (np.asarray(tokens) for tokens in inputs)
    if any(isinstance(layer, ReverseSequence) for layer in model.layers):
        order = _reversed_order(source)[:, None]
        weights = {
            name: np.take_along_axis(x, _expand_heads(order, x), axis=-1)
            for name, x in weights.items()
        }
    is_token = target[:, :, None] != 0
    return {name: x * _expand_heads(is_token, x) for name, x in weights.items()}


def attention_maps(model: keras.Model, inputs) -> dict[str, AttentionMap]:
    """Returns the weights and the masks of a model's attention layers, in the order of their calls.

    Args:
        model, inputs: of `attention_weights`.

    Raises:
        ValueError: if the model has no attention layer.
    """
    calls = _attention_calls(model, inputs, cross_only=False)
    if not calls:
        raise ValueError(f"{model.name} has no attention layer")
    return {name: _with_masks(*parts) for name, parts in calls.items()}


def _attention_calls(model, inputs, cross_only):
    """Returns {name: (weights, query mask or None, key mask or None)} of the calls of attention layers."""
    calls = {}

    def visit(call):
        layer = call.operation
        tensors = [x for x in (*call.args, *call.kwargs.values()) if hasattr(x, "shape")]
        is_cross = isinstance(layer, CROSS_KINDS) and tensors[0] is not tensors[1]
        reader = next((read for kind, read in READERS.items() if isinstance(layer, kind)), None)
        has_option = isinstance(layer, keras.layers.Layer) and _has_option(layer)
        if (cross_only and not is_cross) or not (reader or has_option):
            return call.proceed()
        masks = _masks(call)  # before the call: Keras's layer removes those of its inputs
        if reader:
            outputs, weights = call.proceed(), reader(call)
        else:
            returns_weights, call.kwargs = call.kwargs.get(OPTION), {**call.kwargs, OPTION: True}
            with without_flash_attention(layer):
                outputs = call.proceed()
            weights = outputs[-1]
            if not returns_weights:
                outputs = outputs[0] if len(outputs) == 2 else tuple(outputs[:-1])
        weights = ops.convert_to_numpy(weights).astype("float32")
        calls[call.path] = weights, *_fitting(masks, weights.shape)
        return outputs

    _layer_calls.run(model, inputs, visit)
    return calls


def _has_option(layer):
    return OPTION in inspect.signature(layer.call).parameters


def _masks(call):
    """Returns the masks that may be those of the queries, and those that may be those of the keys."""
    tensors = keras.tree.flatten(call.args) or keras.tree.flatten(call.kwargs)
    own = [get_mask(x) for x in tensors if hasattr(x, "shape")]
    names = ("query_mask", "mask"), ("memory_mask", "key_mask", "value_mask", "mask")
    passed = [[call.kwargs.get(name) for name in kind] for kind in names]
    return [*passed[0], *own[:1]], [*passed[1], *own[1:2], *own[:1]]


def _fitting(masks, shape):
    """Returns the first mask of the queries and of the keys that has a value for each, or None, as arrays."""
    result = []
    for candidates, steps in zip(masks, shape[-2:], strict=True):
        arrays = (x for x in candidates if tuple(getattr(x, "shape", ())) == (shape[0], steps))
        mask = next(arrays, None)
        result.append(None if mask is None else ops.convert_to_numpy(mask).astype(bool))
    return result


def _with_masks(weights, query_mask, key_mask):
    if weights.ndim == 2:  # one query for an example
        weights = weights[:, None]
    weights = weights.reshape(len(weights), -1, *weights.shape[-2:])
    batch, _, queries, keys = weights.shape
    query_mask = np.ones((batch, queries), bool) if query_mask is None else query_mask
    key_mask = np.ones((batch, keys), bool) if key_mask is None else key_mask
    return AttentionMap(weights, query_mask, key_mask)


def _reversed_order(source):
    """Returns the index of each source token in the reversed source; padding stays in its place."""
    steps, length = np.arange(source.shape[1]), (source != 0).sum(axis=1, keepdims=True)
    return np.where(steps < length, length - 1 - steps, steps)


def _expand_heads(x, weights):
    """Returns x (batch, queries, keys), with an axis for the heads if the weights have one."""
    return x if weights.ndim == x.ndim else x[:, None]

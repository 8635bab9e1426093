"""The attention weights of a model for given inputs."""

import collections

import keras
import numpy as np
from keras import ops

from kapps.layers import (
    Alignment,
    AttentionRNN,
    MemoryHop,
    ReverseSequence,
    SelfAttentivePooling,
)

CROSS_KINDS = (Alignment, AttentionRNN, keras.layers.MultiHeadAttention)
"""The layers that may attend from a target to a source."""
KINDS = (*CROSS_KINDS, MemoryHop, SelfAttentivePooling)
"""The layers that return their weights with return_attention_scores=True."""


def attention_weights(
    model: keras.Model, inputs, *, cross_only: bool = False
) -> dict[str, np.ndarray]:
    """Returns the weights of a model's attention layers: {layer name: float32 (batch, ..., queries, keys)}.

    The second call of a layer that is called several times is named "layer_call2", and so on. Each row of weights
    sums to 1, except in a "local_p" window (see `kapps.layers.Alignment`). Masked positions have a weight of 0.

    Args:
        model: a functional `keras.Model`, also one loaded from a file.
        inputs: the model's input arrays; a list [source, target] for a model with two inputs.
        cross_only: return only the weights of layers that attend from a target to a source (encoder-decoder attention):
            (batch, target time, source time), with heads (batch, heads, target time, source time). The source is in its
            own order, also if the encoder reads it reversed, and rows of padding in the target are 0.

    Raises:
        ValueError: if the model has no attention layer; with cross_only, if it has no attention from a target to a
            source.
    """
    weights_model = make_weights_model(model, cross_only)
    if weights_model is None and cross_only:
        raise ValueError(
            f"{model.name} has no layer that attends from a target to a source; the families transformer, bahdanau and "
            "luong have one"
        )
    if weights_model is None:
        raise ValueError(f"{model.name} has no attention layer")
    outputs = weights_model(inputs, training=False)
    weights = {name: ops.convert_to_numpy(x).astype("float32") for name, x in outputs.items()}
    if not cross_only:
        return weights
    source, target = (np.asarray(tokens) for tokens in inputs)
    if any(isinstance(layer, ReverseSequence) for layer in model.layers):
        order = reversed_order(source)[:, None]
        weights = {
            name: np.take_along_axis(x, expand_heads(order, x), axis=-1)
            for name, x in weights.items()
        }
    is_token = target[:, :, None] != 0
    return {name: x * expand_heads(is_token, x) for name, x in weights.items()}


def reversed_order(source: np.ndarray) -> np.ndarray:
    """Returns the index of each source token in the reversed source; padding stays in its place."""
    steps, length = np.arange(source.shape[1]), (source != 0).sum(axis=1, keepdims=True)
    return np.where(steps < length, length - 1 - steps, steps)


def expand_heads(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns x (batch, queries, keys), with an axis for the heads if the weights have one."""
    return x if weights.ndim == x.ndim else x[:, None]


class ReturnWeights(keras.layers.Layer):
    """Calls an attention layer so that it returns its weights too.

    It is a layer of its own because Keras assumes that all calls of one layer return the same structure.
    """

    def __init__(self, layer, name):
        super().__init__(name=f"{name}_with_weights", dtype=layer.dtype_policy)
        self.layer, self.supports_masking, self.built = layer, True, True

    def call(self, *args, **kwargs):
        return self.layer(*args, **kwargs, return_attention_scores=True)

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs, return_attention_scores=True)

    def compute_mask(self, inputs, mask=None):
        del inputs
        return None if isinstance(self.layer, SelfAttentivePooling) else mask


def make_weights_model(model: keras.Model, cross_only: bool) -> keras.Model | None:
    """Returns a model from the same inputs to the weights of each attention layer, or None if there are none."""
    weights, calls = {}, collections.Counter()

    def call(layer, *args, **kwargs):
        is_attention = isinstance(layer, CROSS_KINDS if cross_only else KINDS)
        if not is_attention or (cross_only and args[0] is args[1]):
            return layer(*args, **kwargs)
        calls[layer.name] += 1
        count = calls[layer.name]
        name = layer.name if count == 1 else f"{layer.name}_call{count}"
        *output, weights[name] = ReturnWeights(layer, name)(*args, **kwargs)
        return output[0] if len(output) == 1 else tuple(output)

    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    inputs = copy.inputs if len(copy.inputs) > 1 else copy.inputs[0]
    return keras.Model(inputs, weights, name=f"{model.name}_weights") if weights else None

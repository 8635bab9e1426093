"""Where a trained network looks: the weights of its attention."""

import keras
import numpy as np
from keras import ops

from kapps.layers import Alignment, AttentionRNN, ReverseSequence


def alignment(model, source, target):
    """Returns how much of each word of a source goes into each word of a target.

    Args:
        model: reads [source, target], and attends from one to the other: of `kapps.families.transformer` or
            `kapps.families.attention_seq2seq`, also from a file.
        source: int32 (batch, source time), padded by 0.
        target: int32 (batch, target time), as the model reads it, padded by 0.

    Returns:
        {name of a layer of the decoder: float32 (batch, target, source), with heads (batch, heads, target, source)}. A
        row is a pmf (of a local_p window, what is left of one), and zeros where the target is padding.

    Raises:
        ValueError: for a model that does not attend from a target to a source.
    """
    asked = _asked(model, across=True)
    if asked is None or len(model.inputs) != 2:
        raise ValueError(
            f"{model.name}: no layer attends from a target to a source; kapps.families.transformer and kapps.families.attention_seq2seq "
            "build models that do"
        )
    source, target = (np.asarray(each, "int32") for each in (source, target))
    found = _run(asked, [source, target])
    if any(
        isinstance(layer, ReverseSequence) for layer in model.layers
    ):  # the words in their own order again
        steps, length = np.arange(source.shape[1]), (source != 0).sum(axis=1, keepdims=True)
        order = np.where(steps < length, length - 1 - steps, steps)
        found = {
            name: np.take_along_axis(each, _beside(order[:, None], each), axis=-1)
            for name, each in found.items()
        }
    return {name: each * _beside(target[:, :, None] != 0, each) for name, each in found.items()}


def attention_weights(model, inputs):
    """Returns the weights of every attention layer of a model, {name: float32 (batch, ..., queries, keys)}.

    Args:
        model: a functional `keras.Model`.
        inputs: as the model takes them.

    Raises:
        ValueError: for a model without attention.
    """
    asked = _asked(model, across=False)
    if asked is None:
        raise ValueError(f"{model.name} has no attention layer")
    return _run(asked, inputs)


class _Asking(keras.layers.Layer):
    """An attention layer that returns its weights too; Keras takes one layer to have one structure of outputs."""

    def __init__(self, layer):
        super().__init__(name=f"{layer.name}_asked", dtype=layer.dtype_policy)
        self.layer, self.supports_masking, self.built = layer, True, True

    def call(self, *args, **kwargs):
        return self.layer(*args, **kwargs, return_attention_scores=True)

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs, return_attention_scores=True)


def _asked(model, across):
    """Returns a model of the weights alone, or None; `across`: of those between two sequences alone."""
    found, kinds = {}, (Alignment, AttentionRNN, keras.layers.MultiHeadAttention)

    def called(layer, *args, **kwargs):
        if not isinstance(layer, kinds) or (across and args[0] is args[1]):
            return layer(*args, **kwargs)
        *output, found[layer.name] = _Asking(layer)(*args, **kwargs)
        return output[0] if len(output) == 1 else tuple(output)

    copied = keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=called
    )
    return keras.Model(copied.inputs, found, name=f"{model.name}_weights") if found else None


def _beside(x, weights):
    """Returns x (batch, ...), with an axis for heads where the weights have one."""
    return x if weights.ndim == x.ndim else x[:, None]


def _run(asked, inputs):
    answers = asked(inputs, training=False)
    return {name: ops.convert_to_numpy(each).astype("float32") for name, each in answers.items()}

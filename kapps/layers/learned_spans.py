"""The spans that a model with adaptive attention spans has learned: their values, their loss, and a frozen copy."""

import math

import keras
import numpy as np
from keras import ops

from kapps._checked import checked
from kapps.layers.adaptive_span import AdaptiveSpanAttention
from kapps.layers.portable import copy_values
from kapps.layers.relative_position_scores import RelativePositionScores


@checked
def learned_spans(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the span of each head, z = S v, in steps: {layer name: float32 (heads,)}, in the order of the layers.

    A head reaches ceil(z) + R steps back, as the last R weights fall to 0. `kapps.visualize.plot_spans` plots them.

    Args:
        model: a functional `keras.Model`, for example of `kapps.families.adaptive_span_transformer`.

    Raises:
        ValueError: if the model has no `kapps.layers.AdaptiveSpanAttention`.
    """
    return {
        layer.name: layer.span * ops.convert_to_numpy(layer.v).astype("float32")
        for layer in attention_layers(model)
    }


@checked
def span_penalty(model: keras.Model) -> float:
    """Returns the loss of the spans, the sum over the layers of lambda S mean(v).

    The `loss` that `fit` prints contains it; without it, the loss is that of the task. `evaluate` does not add it.

    Args:
        model: as for `learned_spans`.

    Raises:
        ValueError: as for `learned_spans`.
    """
    return sum(float(layer.penalty()) for layer in attention_layers(model) if layer.limit is None)


@checked
def freeze_spans(model: keras.Model) -> keras.Model:
    """Returns a copy of a model whose spans are constants, so that each layer reaches only the steps that it uses.

    A layer's limit is the largest ceil(z) + R of its heads, at most S. The copy computes the same outputs in less time
    and memory. The state of its decoding step has `limit` keys and values for each layer in place of S.

    Args:
        model: as for `learned_spans`; it is not changed.

    Raises:
        ValueError: as for `learned_spans`.
    """
    spans = learned_spans(model)
    limits = {
        layer.name: min(layer.reach, math.ceil(spans[layer.name].max()) + layer.ramp)
        for layer in attention_layers(model)
    }
    longest = max(limits.values())

    def freeze(layer):
        config = layer.get_config()
        if layer.name in limits:
            config["limit"] = limits[layer.name]
        elif isinstance(layer, RelativePositionScores):
            config["span"] = min(layer.span, longest)
        return type(layer).from_config(config)

    frozen = keras.models.clone_model(model, clone_function=freeze)
    for layer in model.layers:
        target = frozen.get_layer(layer.name)
        if layer.name in limits:  # a constant span comes last in the layer's list of weights
            values = {variable.name: variable for variable in layer.weights}
            for variable in target.weights:
                variable.assign(values[variable.name])
        elif isinstance(layer, RelativePositionScores):
            target.p.assign(ops.convert_to_numpy(layer.p)[:, -target.span :])
        elif layer.weights:
            copy_values(layer, target)
    return frozen


def attention_layers(model):
    """Returns a model's layers of adaptive-span attention; there is at least one."""
    layers = [layer for layer in model.layers if isinstance(layer, AdaptiveSpanAttention)]
    if not layers:
        raise ValueError(
            f"{model.name} has no layer AdaptiveSpanAttention; kapps.families.adaptive_span_transformer makes models "
            "with it"
        )
    return layers

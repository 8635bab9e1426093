"""Batch norms folded into the layers before them: the same function outside training, with less to compute.

After training a batch norm is y = scale * x + shift, with scale = gamma / sqrt(variance + epsilon) and
shift = beta - scale * mean. What a convolution or dense layer gives is linear in its kernel, so that both go
into kernel and bias (Jacob 2017, arXiv:1712.05877, section 3.2).
"""

import keras
import numpy as np
from keras import layers

from kapps._keras_compat import call_nodes, has_node, producer
from kapps.layers import copy_values

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_PLAIN = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)


def fold(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """Returns a copy of `model` without the batch norms that can be folded, and why the others stay.

    Folded is a batch norm that directly follows a convolution (plain, grouped, depthwise, separable or
    transposed, of any rank) or a dense layer which has no activation of its own and feeds nothing else. The copy
    is a plain Keras model of the same layers and names, each such layer with a bias; it is for inference, and
    equal to `model` with training off up to rounding.

    Args:
        model: a built functional or sequential model; models inside it are folded too.

    Returns:
        The copy, and {name of a batch norm that stays: the reason}, empty where none does.

    Raises:
        ValueError: for a model that is no graph of layers.
    """
    if not hasattr(model, "operations") and isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not hasattr(model, "operations"):
        raise ValueError(
            f"{model.name} is no built functional or sequential model, so there is no graph to fold"
        )
    pairs, left = _pairs(model)
    convolutions = {id(before): norm for norm, before in pairs.items()}
    inner = {}

    def copied(layer):
        if isinstance(layer, keras.Model):
            inner[layer.name], stays = fold(layer)
            left.update(stays)
            return inner[layer.name]
        config = layer.get_config()
        if id(layer) in convolutions:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in folded else layer(*args, **kwargs)

    folded = {norm.name for norm in pairs}
    named = [(x, producer(x).name) for x in model.inputs]
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=name) for x, name in named]
    inputs = keras.tree.pack_sequence_as(model.input, inputs)
    twin = keras.models.clone_model(model, inputs, clone_function=copied, call_function=call)
    for layer in model.layers:
        if layer.name in folded or layer.name in inner or not layer.weights:
            continue
        target = twin.get_layer(layer.name)
        if id(layer) in convolutions:
            target.set_weights(_folded(layer, convolutions[id(layer)]))
        else:
            copy_values(layer, target)
    return twin, left


def _pairs(model):
    """Returns {batch norm: the layer it goes into}, and {name of another: why it stays}."""
    calls, consumers, makers = {}, {}, {}
    for operation in model.operations:
        for node in call_nodes(operation):
            if not has_node(model, node):  # a layer may serve other models too
                continue
            calls[operation] = calls.get(operation, 0) + 1
            for x in node.input_tensors:
                consumers[id(x)] = consumers.get(id(x), 0) + 1
            for x in node.output_tensors:
                makers[id(x)] = operation
    for x in model.outputs:
        consumers[id(x)] = consumers.get(id(x), 0) + 1
    pairs, left = {}, {}
    for norm in model.operations:
        if not isinstance(norm, layers.BatchNormalization):
            continue
        before = None if calls[norm] > 1 else makers.get(id(norm.input))
        reason = _obstacle(norm, before, calls, consumers)
        if reason:
            left[norm.name] = reason
        else:
            pairs[norm] = before
    return pairs, left


def _obstacle(norm, before, calls, consumers):
    """Returns why a batch norm cannot go into the layer before it, or None where it can."""
    if calls[norm] > 1:
        return "it is used more than once"
    if not isinstance(before, (*_PLAIN, *_DEPTHWISE, *_SEPARABLE, *_TRANSPOSED)):
        return f"it follows {type(before).__name__}, not a convolution or a dense layer"
    if before.activation is not keras.activations.linear:
        return f"{before.name} has an activation of its own"
    if calls[before] > 1 or consumers[id(norm.input)] > 1:
        return f"{before.name} feeds more than this"
    axis = norm.axis if norm.axis >= 0 else norm.axis + len(norm.input.shape)
    first = getattr(before, "data_format", None) == "channels_first"
    if axis != (1 if first else len(norm.input.shape) - 1):
        return f"it normalises axis {norm.axis}, not the channels"
    return None


def _folded(layer, norm):
    """Returns the weights of the layer with the batch norm in them."""
    values = {v.name: keras.ops.convert_to_numpy(v).astype("float64") for v in norm.weights}
    scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + norm.epsilon)
    shift = values.get("beta", 0.0) - scale * values["moving_mean"]
    *kernels, bias = layer.get_weights() if layer.use_bias else [*layer.get_weights(), 0.0]
    kernel = kernels[-1].astype("float64")  # of a separable convolution, the pointwise one
    if isinstance(layer, _TRANSPOSED):  # (..., filters, channels)
        kernel = kernel * scale[:, None]
    elif isinstance(layer, _DEPTHWISE):  # (..., channels, multiplier)
        kernel = kernel * scale.reshape(kernel.shape[-2:])
    else:  # (..., channels, filters)
        kernel = kernel * scale
    return [*kernels[:-1], kernel, shift + scale * bias]

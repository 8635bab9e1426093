"""Folds batch norms into the layers before them: the same outputs at inference, with less to compute.

At inference a batch norm is y = scale * x + shift, where scale = gamma / sqrt(variance + epsilon) and
shift = beta - scale * mean. The output of a convolution or dense layer is linear in its kernel, so scale and shift can
be moved into its kernel and bias (Jacob 2017, arXiv:1712.05877, section 3.2).
"""

import keras
import numpy as np
from keras import layers

from kapps._checked import checked
from kapps._keras_compat import call_nodes, has_node, producer
from kapps.layers import copy_values

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_PLAIN = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)


@checked
def fold(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """Returns a copy of `model` with its batch norms folded, and the batch norms that could not be folded.

    A batch norm is folded if it directly follows a convolution (plain, grouped, depthwise, separable or
    transposed, of any rank) or a dense layer without an activation, and that layer has no other consumer. The copy
    has the same layers and names, and each folded layer has a bias. It is for inference only; its outputs equal
    those of `model` with `training=False` up to rounding.

    Args:
        model: a built functional or sequential model. Models inside it are folded too.

    Returns:
        The copy, and {name of a batch norm that was not folded: the reason}.

    Raises:
        ValueError: for a model that is not a graph of layers.
    """
    if not hasattr(model, "operations") and isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not hasattr(model, "operations"):
        raise ValueError(
            f"{model.name} is not a built functional or sequential model, so there is no graph to fold"
        )
    folded_into, reasons = _find_pairs(model)
    folded_norms = {norm.name for norm in folded_into}
    norms = {id(layer): norm for norm, layer in folded_into.items()}
    nested = {}

    def copy_layer(layer):
        if isinstance(layer, keras.Model):
            nested[layer.name], nested_reasons = fold(layer)
            reasons.update(nested_reasons)
            return nested[layer.name]
        config = layer.get_config()
        if id(layer) in norms:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call_layer(layer, *args, **kwargs):
        return args[0] if layer.name in folded_norms else layer(*args, **kwargs)

    inputs = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=producer(x).name) for x in model.inputs
    ]
    inputs = keras.tree.pack_sequence_as(model.input, inputs)
    copy = keras.models.clone_model(
        model, inputs, clone_function=copy_layer, call_function=call_layer
    )
    for layer in model.layers:
        if layer.name in folded_norms or layer.name in nested or not layer.weights:
            continue
        target = copy.get_layer(layer.name)
        if id(layer) in norms:
            target.set_weights(_folded_weights(layer, norms[id(layer)]))
        else:
            copy_values(layer, target)
    return copy, reasons


def _find_pairs(model):
    """Returns {batch norm: the layer it is folded into}, and {name of another batch norm: the reason}."""
    calls, consumers, producers = {}, {}, {}
    for operation in model.operations:
        for node in call_nodes(operation):
            if not has_node(model, node):  # a layer may be part of other models too
                continue
            calls[operation] = calls.get(operation, 0) + 1
            for x in node.input_tensors:
                consumers[id(x)] = consumers.get(id(x), 0) + 1
            for x in node.output_tensors:
                producers[id(x)] = operation
    for x in model.outputs:
        consumers[id(x)] = consumers.get(id(x), 0) + 1
    folded_into, reasons = {}, {}
    for norm in model.operations:
        if not isinstance(norm, layers.BatchNormalization):
            continue
        layer = None if calls[norm] > 1 else producers.get(id(norm.input))
        reason = _reason_not_to_fold(norm, layer, calls, consumers)
        if reason:
            reasons[norm.name] = reason
        else:
            folded_into[norm] = layer
    return folded_into, reasons


def _reason_not_to_fold(norm, layer, calls, consumers):
    """Returns why a batch norm cannot be folded into the layer before it, or None if it can."""
    if calls[norm] > 1:
        return "it is used more than once"
    if isinstance(norm.input, (list, tuple)):
        return "it sums several maps"
    if not isinstance(layer, (*_PLAIN, *_DEPTHWISE, *_SEPARABLE, *_TRANSPOSED)):
        return f"it follows {type(layer).__name__}, not a convolution or a dense layer"
    if hasattr(layer, "keras_weights"):
        return f"{layer.name} computes its kernel from other weights"
    if layer.activation is not keras.activations.linear:
        return f"{layer.name} has an activation of its own"
    if calls[layer] > 1 or consumers[id(norm.input)] > 1:
        return f"the output of {layer.name} has other consumers"
    axis = norm.axis if norm.axis >= 0 else norm.axis + len(norm.input.shape)
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    if axis != (1 if channels_first else len(norm.input.shape) - 1):
        return f"it normalises axis {norm.axis}, not the channels"
    return None


def _folded_weights(layer, norm):
    """Returns the weights of a layer with a batch norm folded into them."""
    values = {v.name: keras.ops.convert_to_numpy(v).astype("float64") for v in norm.weights}
    scale = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + norm.epsilon)
    shift = values.get("beta", 0.0) - scale * values["moving_mean"]
    *kernels, bias = layer.get_weights() if layer.use_bias else [*layer.get_weights(), 0.0]
    kernel = kernels[-1].astype("float64")  # the pointwise kernel of a separable convolution
    if isinstance(layer, _TRANSPOSED):  # (..., filters, channels)
        kernel = kernel * scale[:, None]
    elif isinstance(layer, _DEPTHWISE):  # (..., channels, multiplier)
        kernel = kernel * scale.reshape(kernel.shape[-2:])
    else:  # (..., channels, filters)
        kernel = kernel * scale
    return [*kernels[:-1], kernel, shift + scale * bias]

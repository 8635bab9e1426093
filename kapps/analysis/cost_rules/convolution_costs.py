"""Convolutions of every kind and poolings: sliding windows in one to three dimensions."""

import dataclasses
import math

from keras import layers

from kapps.analysis.costs import MIX, UNKNOWN, Cost, Window, named, register_cost, size


def activation(layer, elements):
    """Returns the operations of a layer's activation: one an element, none where it is linear."""
    function = getattr(layer, "activation", None)
    named_linear = getattr(function, "__name__", None) == "linear"
    return 0 if function is None or named_linear else elements


def spatial(shape, data_format):
    """Returns the tensor's spatial axes: (1, 2) of (batch, height, width, channels)."""
    first = 2 if data_format == "channels_first" else 1
    return tuple(range(first, first + len(shape) - 2))


def channels(shape, data_format):
    return shape[1] if data_format == "channels_first" else shape[-1]


def each(value, dimensions):
    """Returns one value a dimension."""
    return (value,) * dimensions if isinstance(value, int) else tuple(value)


def window(given, made, axes, kernel, strides, padding, dilation=1, groups=1):
    """Returns the window of a convolution or pooling between two shapes.

    Args:
        given: shape of the input.
        made: shape of the output.
        axes: that it slides over.
        kernel, strides, dilation: one value, or one an axis.
        padding: "valid", "same" or "causal".
        groups: of the channels.
    """
    n = len(axes)
    kernel, strides, dilation = each(kernel, n), each(strides, n), each(dilation, n)
    pads = []
    for axis, k, s, d in zip(axes, kernel, strides, dilation, strict=True):
        reach = (k - 1) * d
        if padding == "causal":
            pads.append((reach, 0))
        elif padding == "same":  # as TensorFlow pads: more after than before
            whole = max((made[axis] - 1) * s + reach + 1 - given[axis], 0)
            pads.append((whole // 2, whole - whole // 2))
        else:
            pads.append((0, 0))
    return Window(kernel, strides, tuple(pads), dilation, axes, groups)


def transposed_window(given, made, axes, kernel, strides, dilation=1):
    """Returns the window of a transposed convolution; its padding is what is cut off the enlarged map."""
    n = len(axes)
    kernel, strides, dilation = each(kernel, n), each(strides, n), each(dilation, n)
    pads = []
    for axis, k, s, d in zip(axes, kernel, strides, dilation, strict=True):
        whole = (given[axis] - 1) * s + (k - 1) * d + 1 - made[axis]
        before = max(whole, 0) // 2
        pads.append((before, whole - before))
    return Window(kernel, strides, tuple(pads), dilation, axes, 1, True)


def convolution(layer, inputs, outputs):
    """A product for every output element, tap and channel of its group; a bias is one addition an output element."""
    (given, *_), (made, *_) = inputs, outputs
    elements = size(made)
    inner = channels(given, layer.data_format) // layer.groups
    axes = spatial(given, layer.data_format)
    return Cost(
        macs=elements * inner * math.prod(layer.kernel_size),
        additions=elements * layer.use_bias,
        elementwise=activation(layer, elements),
        window=window(
            given,
            made,
            axes,
            layer.kernel_size,
            layer.strides,
            layer.padding,
            layer.dilation_rate,
            layer.groups,
        ),
    )


def depthwise(layer, inputs, outputs):
    """A product for every output element and tap: each channel is its own group."""
    (given, *_), (made, *_) = inputs, outputs
    elements, axes = size(made), spatial(given, layer.data_format)
    return Cost(
        macs=elements * math.prod(layer.kernel_size),
        additions=elements * layer.use_bias,
        elementwise=activation(layer, elements),
        window=window(
            given,
            made,
            axes,
            layer.kernel_size,
            layer.strides,
            layer.padding,
            layer.dilation_rate,
            channels(given, layer.data_format),
        ),
    )


def separable(layer, inputs, outputs):
    """Depthwise on every channel `depth_multiplier` times, then 1x1 to the filters."""
    (given, *_), (made, *_) = inputs, outputs
    elements, axes = size(made), spatial(given, layer.data_format)
    inner = channels(given, layer.data_format)
    middle = inner * layer.depth_multiplier
    places = elements // layer.filters
    return Cost(
        macs=places * middle * (math.prod(layer.kernel_size) + layer.filters),
        additions=elements * layer.use_bias,
        elementwise=activation(layer, elements),
        window=window(
            given,
            made,
            axes,
            layer.kernel_size,
            layer.strides,
            layer.padding,
            layer.dilation_rate,
            inner,
        ),
    )


def transposed(layer, inputs, outputs):
    """A product for every *input* element, tap and filter; what the crop of "same" cuts off is computed too."""
    (given, *_), (made, *_) = inputs, outputs
    axes = spatial(given, layer.data_format)
    return Cost(
        macs=size(given) * layer.filters * math.prod(layer.kernel_size),
        additions=size(made) * layer.use_bias,
        elementwise=activation(layer, size(made)),
        window=transposed_window(
            given, made, axes, layer.kernel_size, layer.strides, layer.dilation_rate
        ),
    )


def max_pooling(layer, inputs, outputs):
    """One comparison less than the window holds, for every output element."""
    taps, sliding = _pooling(layer, inputs, outputs)
    return Cost(elementwise=size(outputs[0]) * (taps - 1), window=sliding)


def average_pooling(layer, inputs, outputs):
    """One addition less than the window holds and a division, for every output element."""
    taps, sliding = _pooling(layer, inputs, outputs)
    elements = size(outputs[0])
    return Cost(additions=elements * (taps - 1), elementwise=elements, window=sliding)


def _pooling(layer, inputs, outputs):
    (given, *_), (made, *_) = inputs, outputs
    axes = spatial(given, layer.data_format)
    pool = each(layer.pool_size, len(axes))
    strides = each(layer.strides or pool, len(axes))
    return math.prod(pool), window(given, made, axes, pool, strides, layer.padding)


def global_max_pooling(layer, inputs, outputs):
    """All but one element of each channel is compared."""
    return Cost(
        elementwise=size(inputs[0]) - size(outputs[0]),
        reach=MIX,
        axes=spatial(inputs[0], layer.data_format),
    )


def global_average_pooling(layer, inputs, outputs):
    """All but one element of each channel is added, and the sum divided."""
    return Cost(
        additions=size(inputs[0]) - size(outputs[0]),
        elementwise=size(outputs[0]),
        reach=MIX,
        axes=spatial(inputs[0], layer.data_format),
    )


def adaptive_max_pooling(layer, inputs, outputs):
    """Windows that cover the input about once, compared."""
    compared = max(size(inputs[0]) - size(outputs[0]), 0)
    return _adaptive(layer, inputs, outputs, Cost(elementwise=compared))


def adaptive_average_pooling(layer, inputs, outputs):
    """Windows that cover the input about once, added up, and a division an output element."""
    sums = max(size(inputs[0]) - size(outputs[0]), 0)
    return _adaptive(layer, inputs, outputs, Cost(additions=sums, elementwise=size(outputs[0])))


def _adaptive(layer, inputs, outputs, cost):
    """Returns the cost with its window, where all windows are alike."""
    (given, *_), (made, *_) = inputs, outputs
    axes = spatial(given, layer.data_format)
    if any(given[axis] % made[axis] for axis in axes):
        return dataclasses.replace(cost, reach=UNKNOWN)
    pool = tuple(given[axis] // made[axis] for axis in axes)
    return dataclasses.replace(cost, window=window(given, made, axes, pool, pool, "valid"))


KINDS = {
    "Conv{n}D": convolution,
    "Conv{n}DTranspose": transposed,
    "DepthwiseConv{n}D": depthwise,
    "SeparableConv{n}D": separable,
    "MaxPooling{n}D": max_pooling,
    "AveragePooling{n}D": average_pooling,
    "GlobalMaxPooling{n}D": global_max_pooling,
    "GlobalAveragePooling{n}D": global_average_pooling,
    "AdaptiveMaxPooling{n}D": adaptive_max_pooling,
    "AdaptiveAveragePooling{n}D": adaptive_average_pooling,
}
for _pattern, _rule in KINDS.items():
    for _n in (1, 2, 3):
        _kind = getattr(layers, _pattern.format(n=_n), None)
        if _kind is not None:  # depthwise and separable have no third dimension
            register_cost(_kind, _rule)


def _format(operation):
    return operation.data_format or "channels_last"


@named("Conv", "DepthwiseConv")
def conv_operation(operation, inputs, outputs):
    """`keras.ops.conv` and `depthwise_conv`: input and kernel (*size, channels a group, filters)."""
    (given, kernel, *_), (made, *_) = inputs, outputs
    axes = spatial(given, _format(operation))
    is_depthwise = type(operation).__name__ == "DepthwiseConv"
    inner = 1 if is_depthwise else kernel[-2]
    how = (operation.strides, operation.padding, operation.dilation_rate)
    groups = channels(given, _format(operation)) // inner
    return Cost(
        macs=size(made) * inner * math.prod(kernel[: len(axes)]),
        window=window(given, made, axes, kernel[: len(axes)], *how, groups),
    )


@named("SeparableConv")
def separable_operation(operation, inputs, outputs):
    """`keras.ops.separable_conv`: input, depthwise kernel, pointwise kernel."""
    (given, kernel, pointwise), (made, *_) = inputs, outputs
    axes = spatial(given, _format(operation))
    places = size(made) // pointwise[-1]
    how = (operation.strides, operation.padding, operation.dilation_rate)
    return Cost(
        macs=places * (math.prod(kernel) + math.prod(pointwise)),
        window=window(given, made, axes, kernel[: len(axes)], *how, kernel[-2]),
    )


@named("ConvTranspose")
def transposed_operation(operation, inputs, outputs):
    """`keras.ops.conv_transpose`: input and kernel (*size, filters, channels)."""
    (given, kernel, *_), (made, *_) = inputs, outputs
    axes = spatial(given, _format(operation))
    taps = kernel[: len(axes)]
    return Cost(
        macs=size(given) * kernel[-2] * math.prod(taps),
        window=transposed_window(
            given, made, axes, taps, operation.strides, operation.dilation_rate
        ),
    )


@named("MaxPool")
def max_pool_operation(operation, inputs, outputs):
    """`keras.ops.max_pool`."""
    return max_pooling(_Formatted(operation), inputs, outputs)


@named("AveragePool")
def average_pool_operation(operation, inputs, outputs):
    """`keras.ops.average_pool`."""
    return average_pooling(_Formatted(operation), inputs, outputs)


class _Formatted:
    """A pooling operation, which may leave its data format to the default, as a layer has it."""

    def __init__(self, operation):
        self.pool_size, self.strides = operation.pool_size, operation.strides
        self.padding, self.data_format = operation.padding, _format(operation)

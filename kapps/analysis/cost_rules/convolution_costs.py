"""Convolutions in one to three dimensions, and the windows of convolutions and poolings."""

import dataclasses
import math

from keras import layers

from kapps.analysis.costs import (
    Cost,
    Window,
    register_cost,
    register_operations,
    size,
)
from kapps.layers import BinaryConv2D


def activation_operations(layer, elements):
    """Returns the number of operations of a layer's activation: one for each element, 0 if it is linear."""
    function = getattr(layer, "activation", None)
    is_linear = getattr(function, "__name__", None) == "linear"
    return 0 if function is None or is_linear else elements


def spatial_axes(shape, data_format):
    """Returns the spatial axes of a shape: (1, 2) of (batch, height, width, channels)."""
    first = 2 if data_format == "channels_first" else 1
    return tuple(range(first, first + len(shape) - 2))


def channels(shape, data_format):
    """Returns the number of channels of a shape."""
    return shape[1] if data_format == "channels_first" else shape[-1]


def as_tuple(value, dimensions):
    """Returns one value for each dimension."""
    return (value,) * dimensions if isinstance(value, int) else tuple(value)


def convolution_window(
    input_shape, output_shape, axes, kernel, strides, padding, dilation=1, groups=1
):
    """Returns the window of a convolution or pooling.

    Args:
        input_shape, output_shape: shapes with the batch.
        axes: spatial axes.
        kernel, strides, dilation: one value, or one for each axis.
        padding: "valid", "same" or "causal".
        groups: number of channel groups.
    """
    n = len(axes)
    kernel, strides, dilation = as_tuple(kernel, n), as_tuple(strides, n), as_tuple(dilation, n)
    pads = []
    for axis, k, s, d in zip(axes, kernel, strides, dilation, strict=True):
        reach = (k - 1) * d
        if padding == "causal":
            pads.append((reach, 0))
        elif padding == "same":  # TensorFlow pads more after than before
            total = max((output_shape[axis] - 1) * s + reach + 1 - input_shape[axis], 0)
            pads.append((total // 2, total - total // 2))
        else:
            pads.append((0, 0))
    return Window(kernel, strides, tuple(pads), dilation, axes, groups)


def transposed_window(input_shape, output_shape, axes, kernel, strides, dilation=1):
    """Returns the window of a transposed convolution. Its padding is the cropping of the upsampled map."""
    n = len(axes)
    kernel, strides, dilation = as_tuple(kernel, n), as_tuple(strides, n), as_tuple(dilation, n)
    pads = []
    for axis, k, s, d in zip(axes, kernel, strides, dilation, strict=True):
        total = (input_shape[axis] - 1) * s + (k - 1) * d + 1 - output_shape[axis]
        before = max(total, 0) // 2
        pads.append((before, total - before))
    return Window(kernel, strides, tuple(pads), dilation, axes, 1, True)


def layer_cost(layer, inputs, outputs, macs, groups):
    """Returns the cost of a convolution layer: its products, a bias of one addition, its activation and window."""
    input_shape, output_shape = inputs[0], outputs[0]
    elements, axes = size(output_shape), spatial_axes(input_shape, layer.data_format)
    options = (layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate, groups)
    return Cost(
        macs=macs,
        additions=elements * layer.use_bias,
        elementwise=activation_operations(layer, elements),
        window=convolution_window(input_shape, output_shape, axes, *options),
    )


def convolution(layer, inputs, outputs):
    """A product for each output element, kernel position and input channel of its group."""
    group_channels = channels(inputs[0], layer.data_format) // layer.groups
    macs = size(outputs[0]) * group_channels * math.prod(layer.kernel_size)
    return layer_cost(layer, inputs, outputs, macs, layer.groups)


def binary_convolution(layer, inputs, outputs):
    """A convolution whose weights are signs, with one multiplication by alpha for each output element.

    A binary input has one comparison for each input element. K has an absolute value and an addition for each of them,
    the sum of a window and a division for each output pixel, and a multiplication for each output element.
    """
    cost = convolution(layer, inputs, outputs)
    elements, input_elements = size(outputs[0]), size(inputs[0])
    pixels = elements // layer.filters
    weights = cost.macs // pixels
    return dataclasses.replace(
        cost,
        signed_macs=cost.macs,
        binary_macs=cost.macs * layer.binary_input,
        binary_weights=weights,
        packed_bytes=-(-weights // 8) + 4 * layer.filters,
        additions=cost.additions
        + layer.input_scale * (input_elements + pixels * math.prod(layer.kernel_size)),
        elementwise=cost.elementwise
        + elements
        + layer.binary_input * input_elements
        + layer.input_scale * (input_elements + pixels + elements),
    )


def depthwise(layer, inputs, outputs):
    """A product for each output element and kernel position: each channel is a group."""
    macs = size(outputs[0]) * math.prod(layer.kernel_size)
    return layer_cost(layer, inputs, outputs, macs, channels(inputs[0], layer.data_format))


def separable(layer, inputs, outputs):
    """A depthwise convolution with `depth_multiplier` filters for each channel, then a 1x1 convolution."""
    input_channels = channels(inputs[0], layer.data_format)
    positions = size(outputs[0]) // layer.filters
    products = math.prod(layer.kernel_size) + layer.filters
    macs = positions * input_channels * layer.depth_multiplier * products
    return layer_cost(layer, inputs, outputs, macs, input_channels)


def transposed(layer, inputs, outputs):
    """A product for each *input* element, kernel position and filter, including those that "same" crops."""
    input_shape, output_shape = inputs[0], outputs[0]
    axes = spatial_axes(input_shape, layer.data_format)
    return Cost(
        macs=size(input_shape) * layer.filters * math.prod(layer.kernel_size),
        additions=size(output_shape) * layer.use_bias,
        elementwise=activation_operations(layer, size(output_shape)),
        window=transposed_window(
            input_shape, output_shape, axes, layer.kernel_size, layer.strides, layer.dilation_rate
        ),
    )


def register_dimensions(rules):
    """Registers rules for layer names such as "Conv{n}D" in one to three dimensions."""
    for pattern, rule in rules.items():
        for n in (1, 2, 3):
            layer_class = getattr(layers, pattern.format(n=n), None)
            if layer_class is not None:  # Keras has no 3D depthwise or separable convolution
                register_cost(layer_class, rule)


register_dimensions(
    {
        "Conv{n}D": convolution,
        "Conv{n}DTranspose": transposed,
        "DepthwiseConv{n}D": depthwise,
        "SeparableConv{n}D": separable,
    }
)
register_cost(BinaryConv2D, binary_convolution)


def data_format(operation):
    """Returns the data format of an operation, which can be None."""
    return operation.data_format or "channels_last"


@register_operations("Conv", "DepthwiseConv")
def conv_operation(operation, inputs, outputs):
    """`keras.ops.conv` and `depthwise_conv`; the kernel is (*size, channels of a group, filters)."""
    input_shape, kernel, output_shape = inputs[0], inputs[1], outputs[0]
    axes = spatial_axes(input_shape, data_format(operation))
    is_depthwise = type(operation).__name__ == "DepthwiseConv"
    group_channels = 1 if is_depthwise else kernel[-2]
    options = (operation.strides, operation.padding, operation.dilation_rate)
    groups = channels(input_shape, data_format(operation)) // group_channels
    return Cost(
        macs=size(output_shape) * group_channels * math.prod(kernel[: len(axes)]),
        window=convolution_window(
            input_shape, output_shape, axes, kernel[: len(axes)], *options, groups
        ),
    )


@register_operations("SeparableConv")
def separable_operation(operation, inputs, outputs):
    """`keras.ops.separable_conv`, with a depthwise and a pointwise kernel."""
    (input_shape, kernel, pointwise), output_shape = inputs, outputs[0]
    axes = spatial_axes(input_shape, data_format(operation))
    positions = size(output_shape) // pointwise[-1]
    options = (operation.strides, operation.padding, operation.dilation_rate)
    return Cost(
        macs=positions * (math.prod(kernel) + math.prod(pointwise)),
        window=convolution_window(
            input_shape, output_shape, axes, kernel[: len(axes)], *options, kernel[-2]
        ),
    )


@register_operations("ConvTranspose")
def transposed_operation(operation, inputs, outputs):
    """`keras.ops.conv_transpose`; the kernel is (*size, filters, channels)."""
    input_shape, kernel, output_shape = inputs[0], inputs[1], outputs[0]
    axes = spatial_axes(input_shape, data_format(operation))
    kernel_size = kernel[: len(axes)]
    return Cost(
        macs=size(input_shape) * kernel[-2] * math.prod(kernel_size),
        window=transposed_window(
            input_shape, output_shape, axes, kernel_size, operation.strides, operation.dilation_rate
        ),
    )

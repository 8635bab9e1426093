"""Poolings in one to three dimensions."""

import dataclasses
import math

from kapps.analysis.cost_rules.convolution_costs import (
    as_tuple,
    convolution_window,
    data_format,
    register_dimensions,
    spatial_axes,
)
from kapps.analysis.costs import MIX, UNKNOWN, Cost, register_operations, size


def max_pooling(layer, inputs, outputs):
    """One comparison fewer than the window has positions, for each output element."""
    window_size, window = _pooling(layer, inputs, outputs)
    return Cost(elementwise=size(outputs[0]) * (window_size - 1), window=window)


def average_pooling(layer, inputs, outputs):
    """One addition fewer than the window has positions and one division, for each output element."""
    window_size, window = _pooling(layer, inputs, outputs)
    elements = size(outputs[0])
    return Cost(additions=elements * (window_size - 1), elementwise=elements, window=window)


def _pooling(layer, inputs, outputs):
    input_shape, output_shape = inputs[0], outputs[0]
    axes = spatial_axes(input_shape, layer.data_format)
    pool = as_tuple(layer.pool_size, len(axes))
    strides = as_tuple(layer.strides or pool, len(axes))
    return math.prod(pool), convolution_window(
        input_shape, output_shape, axes, pool, strides, layer.padding
    )


def global_max_pooling(layer, inputs, outputs):
    """One comparison for each element of a channel but one."""
    return Cost(
        elementwise=size(inputs[0]) - size(outputs[0]),
        reach=MIX,
        axes=spatial_axes(inputs[0], layer.data_format),
    )


def global_average_pooling(layer, inputs, outputs):
    """One addition for each element of a channel but one, and one division for each channel."""
    return Cost(
        additions=size(inputs[0]) - size(outputs[0]),
        elementwise=size(outputs[0]),
        reach=MIX,
        axes=spatial_axes(inputs[0], layer.data_format),
    )


def adaptive_max_pooling(layer, inputs, outputs):
    """About one comparison for each input element."""
    comparisons = max(size(inputs[0]) - size(outputs[0]), 0)
    return _adaptive(layer, inputs, outputs, Cost(elementwise=comparisons))


def adaptive_average_pooling(layer, inputs, outputs):
    """About one addition for each input element, and one division for each output element."""
    additions = max(size(inputs[0]) - size(outputs[0]), 0)
    return _adaptive(
        layer, inputs, outputs, Cost(additions=additions, elementwise=size(outputs[0]))
    )


def _adaptive(layer, inputs, outputs, cost):
    """Returns a cost with its window if all windows have the same size."""
    input_shape, output_shape = inputs[0], outputs[0]
    axes = spatial_axes(input_shape, layer.data_format)
    if any(input_shape[axis] % output_shape[axis] for axis in axes):
        return dataclasses.replace(cost, reach=UNKNOWN)
    pool = tuple(input_shape[axis] // output_shape[axis] for axis in axes)
    return dataclasses.replace(
        cost, window=convolution_window(input_shape, output_shape, axes, pool, pool, "valid")
    )


register_dimensions(
    {
        "MaxPooling{n}D": max_pooling,
        "AveragePooling{n}D": average_pooling,
        "GlobalMaxPooling{n}D": global_max_pooling,
        "GlobalAveragePooling{n}D": global_average_pooling,
        "AdaptiveMaxPooling{n}D": adaptive_max_pooling,
        "AdaptiveAveragePooling{n}D": adaptive_average_pooling,
    }
)


@register_operations("MaxPool")
def max_pool_operation(operation, inputs, outputs):
    """`keras.ops.max_pool`."""
    return max_pooling(_PoolingOptions(operation), inputs, outputs)


@register_operations("AveragePool")
def average_pool_operation(operation, inputs, outputs):
    """`keras.ops.average_pool`."""
    return average_pooling(_PoolingOptions(operation), inputs, outputs)


class _PoolingOptions:
    """The options of a pooling operation under the names of a layer's attributes."""

    def __init__(self, operation):
        self.pool_size, self.strides = operation.pool_size, operation.strides
        self.padding, self.data_format = operation.padding, data_format(operation)

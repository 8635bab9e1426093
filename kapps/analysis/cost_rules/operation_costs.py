"""Keras operations, `keras.ops.*`, in functional graphs and inside layers."""

import math

from kapps.analysis.cost_rules import layer_costs
from kapps.analysis.cost_rules.convolution_costs import spatial_axes
from kapps.analysis.costs import (
    FOLLOW,
    MIX,
    RESHAPE,
    UNKNOWN,
    Cost,
    Window,
    register_operations,
    size,
)

ONE_OPERATION = (
    "Absolute Fabs Angle Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh BitwiseAnd BitwiseInvert BitwiseNot "
    "BitwiseOr BitwiseXor BitwiseLeftShift BitwiseRightShift Cbrt Ceil Celu Conjugate Cos Cosh Deg2rad Divide "
    "DivideNoNan Elu Equal Erf Erfc Erfinv Exp Exp2 Expm1 FloorDivide Fmax Fmin Fmod Gelu Greater GreaterEqual "
    "HardShrink HardSigmoid HardSilu HardTanh Heaviside Hypot Isclose Isfinite Isinf Isnan LeakyRelu LeftShift Less "
    "LessEqual Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot LogicalOr LogicalXor LogSigmoid "
    "Maximum Minimum Mod Multiply NanToNum Negative NotEqual Power Rad2deg Reciprocal Relu Relu6 RightShift Round "
    "Rsqrt Selu Sigmoid Sign Signbit Silu Sin Sinc Sinh SoftShrink Softplus Softsign SparsePlus SparseSigmoid Sqrt "
    "Square Squareplus Tan Tanh TanhShrink Threshold TrueDivide Trunc Where Floor"
)
MOVE = (
    "Append BroadcastTo Cast Concatenate ConvertToTensor Copy Diag Diagonal Dstack GetItem Hsplit Hstack OneHot "
    "OnesLike SaturateCast Slice Split ArraySplit Dsplit Stack Tril Triu Unstack Vsplit Vstack ZerosLike FullLike "
    "EmptyLike Arange Eye Full"
)
MOVE_POSITIONS = (
    "DepthToSpace ExtractPatches Flip Fliplr Flipud Fold Repeat Roll Rot90 Scatter ScatterUpdate SliceUpdate "
    "SpaceToDepth Take TakeAlongAxis Tile Unfold"
)


@register_operations("Add", "Subtract")
def add(operation, inputs, outputs):
    """One addition for each element."""
    return Cost(additions=size(outputs[0]))


@register_operations(*ONE_OPERATION.split())
def elementwise(operation, inputs, outputs):
    """One operation for each element."""
    return Cost(elementwise=size(outputs[0]))


@register_operations("Clip", "Glu")
def two_operations(operation, inputs, outputs):
    """Two operations for each element: two comparisons; a sigmoid and a product."""
    return Cost(elementwise=2 * size(outputs[0]))


@register_operations(*MOVE.split())
def move(operation, inputs, outputs):
    """Moves or selects values."""
    return Cost()


@register_operations(*MOVE_POSITIONS.split())
def move_positions(operation, inputs, outputs):
    """Moves values to other positions of the map."""
    return Cost(reach=UNKNOWN)


@register_operations("Pad")
def pad(operation, inputs, outputs):
    """Pads an array."""
    rank = len(inputs[0])
    widths = [tuple(width) for width in operation.pad_width]
    widths = widths * rank if len(widths) == 1 else widths
    ones, axes = (1,) * rank, tuple(range(rank))
    return Cost(window=Window(ones, ones, tuple(widths), ones, axes))


@register_operations("StopGradient")
def identity(operation, inputs, outputs):
    """The output is the input."""
    return Cost(view=True)


@register_operations("Reshape", "Squeeze", "ExpandDims", "Ravel", "View")
def reshape(operation, inputs, outputs):
    """The same memory under another shape."""
    return Cost(reach=RESHAPE, view=True)


@register_operations("Transpose", "Moveaxis", "Swapaxes")
def transpose(operation, inputs, outputs):
    """The axes in another order."""
    rank, axes = len(inputs[0]), list(range(len(inputs[0])))
    if hasattr(operation, "axes"):
        axes = [axis % rank for axis in operation.axes or reversed(axes)]
    elif hasattr(operation, "axis1"):
        first, second = operation.axis1 % rank, operation.axis2 % rank
        axes[first], axes[second] = axes[second], axes[first]
    else:
        return Cost(reach=MIX)
    return Cost(reach=FOLLOW, axes=tuple(axes))


@register_operations("Sum", "Nansum", "Cumsum")
def add_up(operation, inputs, outputs):
    """One addition for each element of a sum but one."""
    return Cost(
        additions=_reduced_elements(inputs, outputs), reach=MIX, axes=_axes(operation, inputs)
    )


@register_operations("Mean", "Average", "Nanmean")
def average(operation, inputs, outputs):
    """A sum and a division."""
    return add_up(operation, inputs, outputs) + Cost(elementwise=size(outputs[0]))


@register_operations("Var", "Std", "Nanvar", "Nanstd", "Moments")
def variance(operation, inputs, outputs):
    """A mean, a difference and a square for each element, and the mean of the squares."""
    elements = size(inputs[0])
    mean = average(operation, inputs, outputs[:1])
    return mean + mean + Cost(additions=elements, elementwise=elements)


@register_operations(
    "Max", "Min", "Amax", "Amin", "Nanmax", "Nanmin", "Argmax", "Argmin", "Any", "All", "Prod"
)
@register_operations("CountNonzero", "Cumprod")
def reduce_by_comparison(operation, inputs, outputs):
    """One operation for each element of a reduction but one."""
    return Cost(
        elementwise=_reduced_elements(inputs, outputs), reach=MIX, axes=_axes(operation, inputs)
    )


@register_operations("Logsumexp")
def log_sum_exp(operation, inputs, outputs):
    """An exponential for each element, a sum, and a logarithm."""
    total = add_up(operation, inputs, outputs)
    return total + Cost(elementwise=size(inputs[0]) + size(outputs[0]))


def _reduced_elements(inputs, outputs):
    """Returns the number of input elements less the number of outputs; of a cumulative reduction, all elements."""
    return max(size(inputs[0]) - size(outputs[0]), 0) or size(outputs[0])


def _axes(operation, inputs):
    """Returns the reduced axes, None for all."""
    axes, rank = getattr(operation, "axis", None), len(inputs[0])
    if axes is None:
        return None
    axes = axes if isinstance(axes, (tuple, list)) else (axes,)
    return tuple(axis % rank for axis in axes)


@register_operations("Matmul", "Dot", "Inner", "Vdot")
def matrix_product(operation, inputs, outputs):
    """A product for each output element and each position along the contracted axis."""
    macs = size(outputs[0]) * inputs[0][-1]
    if len(inputs[1]) > 2:  # the second input depends on positions too
        return Cost(macs=macs, reach=MIX)
    return Cost(macs=macs, reach=FOLLOW, axes=(*range(len(inputs[0]) - 1), -1))


@register_operations("Tensordot")
def tensor_product(operation, inputs, outputs):
    """A product for each output element and each combination of contracted indices.

    With a free and b free elements and c contracted ones: (a c) (b c) (a b) = (a b c)**2.
    """
    elements = size(inputs[0]) * size(inputs[1]) * size(outputs[0])
    return Cost(macs=math.isqrt(elements), reach=MIX)


@register_operations("Outer")
def outer_product(operation, inputs, outputs):
    """A product for each output element."""
    return Cost(elementwise=size(outputs[0]), reach=MIX)


@register_operations("Einsum")
def einsum(operation, inputs, outputs):
    """A multiply-accumulate for each combination of indices."""
    return layer_costs.einsum_cost(operation.subscripts, inputs, outputs[0])


@register_operations("Softmax", "LogSoftmax", "Sparsemax")
def softmax(operation, inputs, outputs):
    """An exponential, an addition and a division for each element, along one axis."""
    elements = size(outputs[0])
    return Cost(
        additions=elements, elementwise=2 * elements, reach=MIX, axes=_axes(operation, inputs)
    )


@register_operations("BatchNorm")
def batch_norm(operation, inputs, outputs):
    """The same cost as the layer."""
    return layer_costs.batch_norm(operation, inputs, outputs)


@register_operations("LayerNorm")
def layer_norm(operation, inputs, outputs):
    """Mean, variance, normalisation, gamma and beta."""
    elements = size(outputs[0])
    return Cost(additions=4 * elements, elementwise=3 * elements)


@register_operations("RMSNorm")
def rms_norm(operation, inputs, outputs):
    """The same cost as the layer."""
    return layer_costs.rms_norm(operation, inputs, outputs)


@register_operations("Normalize")
def normalize(operation, inputs, outputs):
    """The same cost as the layer."""
    return layer_costs.unit_norm(operation, inputs, outputs)


@register_operations("Resize")
def resize(operation, inputs, outputs):
    """Interpolation along height and width."""
    axes = spatial_axes(outputs[0], operation.data_format)
    return layer_costs.interpolate(operation.interpolation, inputs[0], outputs[0], axes)


@register_operations("PadImages", "CropImages")
def pad_images(operation, inputs, outputs):
    """Pads images; cropping is negative padding."""
    axes = spatial_axes(inputs[0], operation.data_format)
    sign = 1 if type(operation).__name__ == "PadImages" else -1
    top = getattr(operation, "top_padding", getattr(operation, "top_cropping", 0)) or 0
    left = getattr(operation, "left_padding", getattr(operation, "left_cropping", 0)) or 0
    differences = [outputs[0][axis] - inputs[0][axis] for axis in axes]
    pads = tuple(
        (sign * before, total - sign * before)
        for before, total in zip((top, left), differences, strict=True)
    )
    ones = (1,) * len(axes)
    return Cost(window=Window(ones, ones, pads, ones, axes))

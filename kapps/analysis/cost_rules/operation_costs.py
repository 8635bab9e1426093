"""Keras's operations, `keras.ops.*`, as they stand in functional graphs and in layers of one's own."""

import math

from kapps.analysis.cost_rules import layer_costs
from kapps.analysis.cost_rules.convolution_costs import spatial
from kapps.analysis.costs import FOLLOW, MIX, RESHAPE, UNKNOWN, Cost, Window, named, size

ADD = "Add Subtract"
ONE = (
    "Absolute Fabs Angle Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh BitwiseAnd BitwiseInvert BitwiseNot "
    "BitwiseOr BitwiseXor BitwiseLeftShift BitwiseRightShift Cbrt Ceil Celu Conjugate Cos Cosh Deg2rad Divide "
    "DivideNoNan Elu Equal Erf Erfc Erfinv Exp Exp2 Expm1 Floor FloorDivide Fmax Fmin Fmod Gelu Greater GreaterEqual "
    "HardShrink HardSigmoid HardSilu HardTanh Heaviside Hypot Isclose Isfinite Isinf Isnan LeakyRelu LeftShift Less "
    "LessEqual Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot LogicalOr LogicalXor LogSigmoid "
    "Maximum Minimum Mod Multiply NanToNum Negative NotEqual Power Rad2deg Reciprocal Relu Relu6 RightShift Round "
    "Rsqrt Selu Sigmoid Sign Signbit Silu Sin Sinc Sinh SoftShrink Softplus Softsign SparsePlus SparseSigmoid Sqrt "
    "Square Squareplus Tan Tanh TanhShrink Threshold TrueDivide Trunc Where"
)
MOVED = (
    "Append BroadcastTo Cast Concatenate ConvertToTensor Copy Diag Diagonal Dstack GetItem Hsplit Hstack OneHot "
    "OnesLike SaturateCast Slice Split ArraySplit Dsplit Stack Tril Triu Unstack Vsplit Vstack ZerosLike FullLike "
    "EmptyLike Arange Eye Full"
)
AWAY = (
    "DepthToSpace ExtractPatches Flip Fliplr Flipud Fold Repeat Roll Rot90 Scatter ScatterUpdate SliceUpdate "
    "SpaceToDepth Take TakeAlongAxis Tile Unfold"
)


@named(*ADD.split())
def added(operation, inputs, outputs):
    """One addition an element."""
    return Cost(additions=size(outputs[0]))


@named(*ONE.split())
def element(operation, inputs, outputs):
    """One operation an element."""
    return Cost(elementwise=size(outputs[0]))


@named("Clip", "Glu")
def two(operation, inputs, outputs):
    """Two operations an element: two comparisons; a sigmoid and a product."""
    return Cost(elementwise=2 * size(outputs[0]))


@named(*MOVED.split())
def moved(operation, inputs, outputs):
    """Values are moved or picked, and none is computed."""
    return Cost()


@named(*AWAY.split())
def moved_away(operation, inputs, outputs):
    """As above, to another place in the map."""
    return Cost(reach=UNKNOWN)


@named("Pad")
def pad(operation, inputs, outputs):
    """Moves the map."""
    (given, *_) = inputs
    widths = [tuple(width) for width in operation.pad_width]
    widths = widths * len(given) if len(widths) == 1 else widths
    ones, axes = (1,) * len(given), tuple(range(len(given)))
    return Cost(window=Window(ones, ones, tuple(widths), ones, axes))


@named("StopGradient")
def passed(operation, inputs, outputs):
    return Cost(view=True)


@named("Reshape", "Squeeze", "ExpandDims", "Ravel", "View")
def reshaped(operation, inputs, outputs):
    """The same memory under another shape."""
    return Cost(reach=RESHAPE, view=True)


@named("Transpose", "Moveaxis", "Swapaxes")
def transposed(operation, inputs, outputs):
    """Values in another order."""
    rank, axes = len(inputs[0]), list(range(len(inputs[0])))
    if hasattr(operation, "axes"):
        axes = [axis % rank for axis in operation.axes or reversed(axes)]
    elif hasattr(operation, "axis1"):
        first, second = operation.axis1 % rank, operation.axis2 % rank
        axes[first], axes[second] = axes[second], axes[first]
    else:
        return Cost(reach=MIX)
    return Cost(reach=FOLLOW, axes=tuple(axes))


@named("Sum", "Nansum", "Cumsum")
def summed(operation, inputs, outputs):
    """All but one element of each sum is added."""
    return Cost(additions=_fewer(inputs, outputs), reach=MIX, axes=_axes(operation, inputs))


@named("Mean", "Average", "Nanmean")
def averaged(operation, inputs, outputs):
    """A sum and a division."""
    return summed(operation, inputs, outputs) + Cost(elementwise=size(outputs[0]))


@named("Var", "Std", "Nanvar", "Nanstd", "Moments")
def spread(operation, inputs, outputs):
    """A mean, a difference and a square an element, and their mean."""
    elements = size(inputs[0])
    mean = averaged(operation, inputs, outputs[:1])
    return mean + mean + Cost(additions=elements, elementwise=elements)


@named("Max", "Min", "Amax", "Amin", "Nanmax", "Nanmin", "Argmax", "Argmin", "Any", "All", "Prod")
@named("CountNonzero", "Cumprod")
def compared(operation, inputs, outputs):
    """All but one element is compared."""
    return Cost(elementwise=_fewer(inputs, outputs), reach=MIX, axes=_axes(operation, inputs))


@named("Logsumexp")
def log_sum_exp(operation, inputs, outputs):
    """An exponential an element, a sum, and a logarithm."""
    summing = summed(operation, inputs, outputs)
    return summing + Cost(elementwise=size(inputs[0]) + size(outputs[0]))


def _fewer(inputs, outputs):
    return max(size(inputs[0]) - size(outputs[0]), 0) or size(outputs[0])


def _axes(operation, inputs):
    axis, rank = getattr(operation, "axis", None), len(inputs[0])
    if axis is None:
        return None
    return tuple(each % rank for each in (axis if isinstance(axis, (tuple, list)) else (axis,)))


@named("Matmul", "Dot", "Inner", "Vdot")
def product(operation, inputs, outputs):
    """A product for every output element and every pair along the contracted axis."""
    macs = size(outputs[0]) * inputs[0][-1]
    if len(inputs[1]) > 2:  # a product of two sequences
        return Cost(macs=macs, reach=MIX)
    return Cost(macs=macs, reach=FOLLOW, axes=(*range(len(inputs[0]) - 1), -1))


@named("Tensordot")
def tensor_product(operation, inputs, outputs):
    """As a matrix product; the contracted axes are what both inputs have and the output has not."""
    given = size(inputs[0]) * size(inputs[1])
    return Cost(macs=math.isqrt(given * size(outputs[0])), reach=MIX)


@named("Outer")
def outer(operation, inputs, outputs):
    return Cost(elementwise=size(outputs[0]), reach=MIX)


@named("Einsum")
def einsum(operation, inputs, outputs):
    """A multiply-accumulate for every combination of indices."""
    return layer_costs.einsum(operation.subscripts, inputs, outputs[0])


@named("Softmax", "LogSoftmax", "Sparsemax")
def softmax(operation, inputs, outputs):
    """An exponential, an addition and a division an element, along one axis."""
    elements = size(outputs[0])
    return Cost(
        additions=elements, elementwise=2 * elements, reach=MIX, axes=_axes(operation, inputs)
    )


@named("BatchNorm")
def batch_norm(operation, inputs, outputs):
    return layer_costs.batch_norm(operation, inputs, outputs)


@named("LayerNorm")
def layer_norm(operation, inputs, outputs):
    """Mean, variance, and the two applied, with gamma and beta."""
    elements = size(outputs[0])
    return Cost(additions=4 * elements, elementwise=3 * elements)


@named("RMSNorm")
def rms_norm(operation, inputs, outputs):
    return layer_costs.rms_norm(operation, inputs, outputs)


@named("Normalize")
def normalize(operation, inputs, outputs):
    return layer_costs.unit_norm(operation, inputs, outputs)


@named("Resize")
def resized(operation, inputs, outputs):
    """What interpolation takes, axis by axis."""
    axes = spatial(outputs[0], operation.data_format)
    return layer_costs.interpolated(operation.interpolation, inputs[0], outputs[0], axes)


@named("PadImages", "CropImages")
def padded(operation, inputs, outputs):
    """Moves the map; where it is cropped, by a negative padding."""
    axes = spatial(inputs[0], operation.data_format)
    sign = 1 if type(operation).__name__ == "PadImages" else -1
    top = getattr(operation, "top_padding", getattr(operation, "top_cropping", 0)) or 0
    left = getattr(operation, "left_padding", getattr(operation, "left_cropping", 0)) or 0
    more = [outputs[0][axis] - inputs[0][axis] for axis in axes]
    pads = tuple(
        (sign * before, total - sign * before)
        for before, total in zip((top, left), more, strict=True)
    )
    ones = (1,) * len(axes)
    return Cost(window=Window(ones, ones, pads, ones, axes))

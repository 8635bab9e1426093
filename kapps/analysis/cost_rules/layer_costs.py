"""Dense layers, normalisation, activations, merging, and layers that move values or resize maps."""

import math

from keras import layers

from kapps.analysis.cost_rules.convolution_costs import activation_operations, spatial_axes
from kapps.analysis.costs import FOLLOW, MIX, RESHAPE, UNKNOWN, Cost, Window, register_cost, size

INTERPOLATION = {"bilinear": (2, 1), "bicubic": (4, 3), "lanczos3": (6, 5), "lanczos5": (10, 9)}
"""Multiplications and additions of an interpolation along one axis, for each output element."""


def dense(layer, inputs, outputs):
    """A product for each output element and input channel; a bias is one addition for each output element."""
    elements = size(outputs[0])
    return Cost(
        macs=elements * inputs[0][-1],
        additions=elements * layer.use_bias,
        elementwise=activation_operations(layer, elements),
        reach=MIX,
        axes=(len(inputs[0]) - 1,),
    )


def einsum_dense(layer, inputs, outputs):
    """The products of the einsum; a bias is one addition for each output element."""
    elements = size(outputs[0])
    product = einsum_cost(layer.equation, [inputs[0], tuple(layer.kernel.shape)], outputs[0])
    return Cost(
        macs=product.macs,
        additions=elements * (layer.bias_axes is not None),
        elementwise=activation_operations(layer, elements),
        reach=FOLLOW,
        axes=einsum_axes(layer.equation, len(inputs[0])),
    )


def einsum_axes(equation, rank):
    """Returns, for each axis of an einsum's output, the axis of its first operand, -1 for none."""
    operands, output = equation.replace(" ", "").split("->")
    first = operands.split(",")[0]
    ellipsis = "".join(map(str, range(rank - len(first.replace("...", "")))))
    first, output = first.replace("...", ellipsis), output.replace("...", ellipsis)
    return tuple(first.find(letter) for letter in output)


def einsum_cost(equation, inputs, output):
    """Returns a multiply-accumulate for each combination of indices and each operand after the first.

    An einsum of one operand has additions only.
    """
    operands = equation.replace(" ", "").split("->")[0].split(",")
    lengths, ellipsis_size = {}, 1
    for operand, shape in zip(operands, inputs, strict=True):
        before, ellipsis, after = operand.partition("...")
        ellipsis_shape = shape[len(before) : len(shape) - len(after)] if ellipsis else ()
        ellipsis_size = max(ellipsis_size, math.prod(ellipsis_shape))
        named_shape = (*shape[: len(before)], *shape[len(shape) - len(after) :])
        for letter, length in zip(before + after, named_shape, strict=True):
            lengths[letter] = max(lengths.get(letter, 1), length)
    combinations = ellipsis_size * math.prod(lengths.values())
    if len(operands) == 1:
        return Cost(additions=max(combinations - size(output), 0), reach=MIX)
    return Cost(macs=combinations * (len(operands) - 1), reach=MIX)


def move(layer, inputs, outputs):
    """Moves or selects values."""
    return Cost()


def lookup(layer, inputs, outputs):
    """Selects a row of the table for each index."""
    return Cost(reach=FOLLOW, axes=(*range(len(inputs[0])), -1))


def move_positions(layer, inputs, outputs):
    """Moves values to other positions of the map."""
    return Cost(reach=UNKNOWN)


def identity(layer, inputs, outputs):
    """The output is the input: dropout and augmentation at inference, identity, masking."""
    return Cost(view=inputs[:1] == outputs[:1])


def reshape(layer, inputs, outputs):
    """The same memory under another shape."""
    return Cost(reach=RESHAPE, view=True)


def permute(layer, inputs, outputs):
    """The axes in another order."""
    return Cost(reach=FOLLOW, axes=(0, *layer.dims))


def reversible_embedding(layer, inputs, outputs):
    """A lookup, or in the reverse direction the product with the table."""
    if outputs[0][-1] == layer.input_dim and len(outputs[0]) == len(inputs[0]):
        return Cost(macs=size(outputs[0]) * inputs[0][-1], reach=MIX, axes=(len(inputs[0]) - 1,))
    return Cost()


def batch_norm(layer, inputs, outputs):
    """One multiplication and one addition: the moving averages, gamma and beta are folded into them."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=elements)


def mean_variance_norm(layer, inputs, outputs):
    """Three additions and two multiplications for each element; one multiplication for gamma, one addition for beta."""
    elements, rank = size(outputs[0]), len(inputs[0])
    if isinstance(layer, layers.GroupNormalization):  # all positions of a channel group
        axes = tuple(range(1, rank))
    else:
        axes = layer.axis if isinstance(layer.axis, (tuple, list)) else (layer.axis,)
    return Cost(
        additions=elements * (3 + bool(layer.center)),
        elementwise=elements * (2 + bool(layer.scale)),
        reach=MIX,
        axes=tuple(axis % rank for axis in axes),
    )


def rms_norm(layer, inputs, outputs):
    """Squares and their sum, and two multiplications for normalisation and scale."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=3 * elements)


def unit_norm(layer, inputs, outputs):
    """Squares, their sum and a division."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=2 * elements)


def activation(layer, inputs, outputs):
    """One operation for each element; a softmax has an exponential, an addition and a division."""
    function = getattr(layer, "activation", None)
    if getattr(function, "__name__", "") in ("softmax", "log_softmax"):
        return softmax(layer, inputs, outputs)
    operations = activation_operations(layer, size(outputs[0]))
    return Cost(elementwise=operations, view=not operations)


def elementwise(layer, inputs, outputs):
    """One operation for each element."""
    return Cost(elementwise=size(outputs[0]))


def softmax(layer, inputs, outputs):
    """An exponential, an addition and a division for each element."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=2 * elements)


def scale_and_offset(layer, inputs, outputs):
    """A multiplication and an addition for each element: rescaling, normalisation of data."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=elements)


def leaky_relu(layer, inputs, outputs):
    """A comparison and a multiplication for each element."""
    return Cost(elementwise=2 * size(outputs[0]))


def add(layer, inputs, outputs):
    """One addition for each element and each input after the first."""
    return Cost(additions=size(outputs[0]) * (len(inputs) - 1))


def average(layer, inputs, outputs):
    """An addition for each element and each input after the first, and a division for each element."""
    elements = size(outputs[0])
    return Cost(additions=elements * (len(inputs) - 1), elementwise=elements)


def multiply(layer, inputs, outputs):
    """One operation for each element and each input after the first: products, maxima, minima."""
    return Cost(elementwise=size(outputs[0]) * (len(inputs) - 1))


def dot(layer, inputs, outputs):
    """A product for each output element and each position along the contracted axis."""
    axis = layer.axes[0] if isinstance(layer.axes, (tuple, list)) else layer.axes
    return Cost(macs=size(outputs[0]) * inputs[0][axis], reach=MIX)


def pad(layer, inputs, outputs):
    """Pads a map; cropping is negative padding."""
    amounts = getattr(layer, "padding", None)
    sign = 1
    if amounts is None:
        amounts, sign = layer.cropping, -1
    axes = spatial_axes(inputs[0], getattr(layer, "data_format", None))
    if not isinstance(amounts[0], (tuple, list)):
        amounts = (amounts,)
    pads = tuple((sign * before, sign * after) for before, after in amounts)
    ones = (1,) * len(axes)
    return Cost(window=Window(ones, ones, pads, ones, axes))


def upsample(layer, inputs, outputs):
    """Interpolation along each axis; "nearest" costs nothing."""
    axes = spatial_axes(inputs[0], getattr(layer, "data_format", None))
    return interpolate(getattr(layer, "interpolation", "nearest"), inputs[0], outputs[0], axes)


def resize(layer, inputs, outputs):
    """Interpolation along height and width, of an image or a batch."""
    axes = spatial_axes(outputs[0], layer.data_format)
    return interpolate(layer.interpolation, inputs[0], outputs[0], axes)


def interpolate(interpolation, input_shape, output_shape, axes):
    """Returns the cost of interpolation along each axis whose length changes."""
    changed = [axis for axis in axes if input_shape[axis] != output_shape[axis]]
    multiplications, additions = INTERPOLATION.get(interpolation, (0, 0))
    elements = size(output_shape) * len(changed)
    cost = Cost(
        additions=additions * elements, elementwise=multiplications * elements, reach=UNKNOWN
    )
    factors = [output_shape[axis] / input_shape[axis] for axis in axes]
    if not all(factor.is_integer() for factor in factors):
        return cost  # the windows of units differ
    if interpolation not in ("nearest", "bilinear"):
        return cost
    strides = tuple(int(factor) for factor in factors)
    # A transposed convolution: "nearest" repeats a unit, "bilinear" weights the two nearest units.
    kernel = tuple(2 * s if interpolation == "bilinear" and s > 1 else s for s in strides)
    pads = tuple(((k - s) // 2, k - s - (k - s) // 2) for k, s in zip(kernel, strides, strict=True))
    ones = (1,) * len(axes)
    window = Window(kernel, strides, pads, ones, axes, transposed=True)
    return Cost(additions=cost.additions, elementwise=cost.elementwise, window=window)


AUGMENTATION = (
    "AugMix AutoContrast CutMix Equalization MixUp RandAugment RandomBrightness RandomColorDegeneration "
    "RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur "
    "RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation "
    "RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom Solarization"
)
RULES = {
    dense: "Dense",
    einsum_dense: "EinsumDense",
    move: "Concatenate",
    lookup: "Embedding",
    move_positions: "CenterCrop RandomCrop RepeatVector",
    identity: "ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise Identity InputLayer Masking "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D " + AUGMENTATION,
    reshape: "Flatten Reshape",
    permute: "Permute",
    reversible_embedding: "ReversibleEmbedding",
    batch_norm: "BatchNormalization",
    mean_variance_norm: "GroupNormalization LayerNormalization",
    rms_norm: "RMSNormalization",
    unit_norm: "UnitNormalization",
    activation: "Activation",
    elementwise: "ELU ReLU",
    softmax: "Softmax",
    scale_and_offset: "Normalization Rescaling",
    leaky_relu: "LeakyReLU PReLU",
    add: "Add Subtract",
    average: "Average",
    multiply: "Maximum Minimum Multiply",
    dot: "Dot",
    pad: "Cropping1D Cropping2D Cropping3D ZeroPadding1D ZeroPadding2D ZeroPadding3D",
    upsample: "UpSampling1D UpSampling2D UpSampling3D",
    resize: "Resizing",
}
for _rule, _names in RULES.items():
    for _name in _names.split():
        if hasattr(layers, _name):  # depends on the version of Keras
            register_cost(getattr(layers, _name), _rule)

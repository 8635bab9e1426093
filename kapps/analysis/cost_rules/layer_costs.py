"""Dense, norms, activations, merging, and layers that move values or enlarge maps."""

import math

from keras import layers

from kapps.analysis.cost_rules.convolution_costs import activation, spatial
from kapps.analysis.costs import FOLLOW, MIX, RESHAPE, UNKNOWN, Cost, Window, register_cost, size

ALONG = {"bilinear": (2, 1), "bicubic": (4, 3), "lanczos3": (6, 5), "lanczos5": (10, 9)}
"""Multiplications and additions that an interpolation takes along one axis, for every output element."""


def dense(layer, inputs, outputs):
    """A product for every output element and input channel; a bias is one addition an output element."""
    elements = size(outputs[0])
    return Cost(
        macs=elements * inputs[0][-1],
        additions=elements * layer.use_bias,
        elementwise=activation(layer, elements),
        reach=MIX,
        axes=(len(inputs[0]) - 1,),
    )


def einsum_dense(layer, inputs, outputs):
    """The einsum's products; a bias is one addition an output element."""
    elements = size(outputs[0])
    product = einsum(layer.equation, [inputs[0], tuple(layer.kernel.shape)], outputs[0])
    return Cost(
        macs=product.macs,
        additions=elements * (layer.bias_axes is not None),
        elementwise=activation(layer, elements),
        reach=FOLLOW,
        axes=followed(layer.equation, len(inputs[0])),
    )


def followed(equation, rank):
    """Returns the axis of an einsum's first operand that each axis of its output runs along, -1 for none."""
    given, made = equation.replace(" ", "").split(",")[0], equation.replace(" ", "").split("->")[1]
    hidden = "".join(map(str, range(rank - len(given.replace("...", "")))))
    given, made = given.replace("...", hidden), made.replace("...", hidden)
    return tuple(given.find(letter) for letter in made)


def einsum(equation, inputs, output):
    """A multiply-accumulate for every combination of indices, a product more for each operand after the second.

    One operand is no product: what is summed up counts as additions.
    """
    operands = equation.replace(" ", "").split("->")[0].split(",")
    sizes, rest = {}, 1
    for operand, shape in zip(operands, inputs, strict=True):
        before, dots, after = operand.partition("...")
        hidden = shape[len(before) : len(shape) - len(after)] if dots else ()
        rest = max(rest, math.prod(hidden))
        shown = (*shape[: len(before)], *shape[len(shape) - len(after) :])
        for letter, length in zip(before + after, shown, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), length)
    combinations = rest * math.prod(sizes.values())
    if len(operands) == 1:
        return Cost(additions=max(combinations - size(output), 0), reach=MIX)
    return Cost(macs=combinations * (len(operands) - 1), reach=MIX)


def moved(layer, inputs, outputs):
    """Values are moved or picked, and none is computed."""
    return Cost()


def looked_up(layer, inputs, outputs):
    """A row of the table for each number."""
    return Cost(reach=FOLLOW, axes=(*range(len(inputs[0])), -1))


def moved_away(layer, inputs, outputs):
    """As above, to another place in the map."""
    return Cost(reach=UNKNOWN)


def passed(layer, inputs, outputs):
    """The output is the input: dropout and augmentation at inference, identity, masking."""
    return Cost(view=inputs[:1] == outputs[:1])


def reshaped(layer, inputs, outputs):
    """The same memory under another shape."""
    return Cost(reach=RESHAPE, view=True)


def permuted(layer, inputs, outputs):
    return Cost(reach=FOLLOW, axes=(0, *layer.dims))


def reversible_embedding(layer, inputs, outputs):
    """A look-up, or in reverse the product with the table."""
    if outputs[0][-1] == layer.input_dim and len(outputs[0]) == len(inputs[0]):
        return Cost(macs=size(outputs[0]) * inputs[0][-1], reach=MIX, axes=(len(inputs[0]) - 1,))
    return Cost()


def batch_norm(layer, inputs, outputs):
    """Scale and offset are one multiplication and one addition: averages, gamma and beta fold into them."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=elements)


def centred_norm(layer, inputs, outputs):
    """Mean, variance, and the two applied: three additions and two multiplications; gamma one more, beta one more."""
    elements, rank = size(outputs[0]), len(inputs[0])
    if isinstance(layer, layers.GroupNormalization):  # of a channel group, all places
        along = tuple(range(1, rank))
    else:
        along = layer.axis if isinstance(layer.axis, (tuple, list)) else (layer.axis,)
    return Cost(
        additions=elements * (3 + bool(layer.center)),
        elementwise=elements * (2 + bool(layer.scale)),
        reach=MIX,
        axes=tuple(axis % rank for axis in along),
    )


def rms_norm(layer, inputs, outputs):
    """Squares, their sum, and the two multiplications that apply it and the scale."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=3 * elements)


def unit_norm(layer, inputs, outputs):
    """Squares, their sum, and the division."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=2 * elements)


def activated(layer, inputs, outputs):
    """One operation an element; softmax is an exponential, a sum and a division."""
    function = getattr(layer, "activation", None)
    if getattr(function, "__name__", "") in ("softmax", "log_softmax"):
        return softmax(layer, inputs, outputs)
    elements = activation(layer, size(outputs[0]))
    return Cost(elementwise=elements, view=not elements)


def element(layer, inputs, outputs):
    """One operation an element."""
    return Cost(elementwise=size(outputs[0]))


def softmax(layer, inputs, outputs):
    """An exponential, an addition and a division an element."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=2 * elements)


def scaled(layer, inputs, outputs):
    """A multiplication and an addition an element: rescaling, normalisation of data, a leaky or parametric ReLU."""
    elements = size(outputs[0])
    return Cost(additions=elements, elementwise=elements)


def sloped(layer, inputs, outputs):
    """A comparison and a multiplication an element."""
    return Cost(elementwise=2 * size(outputs[0]))


def added(layer, inputs, outputs):
    """One addition an element for each input after the first."""
    return Cost(additions=size(outputs[0]) * (len(inputs) - 1))


def averaged(layer, inputs, outputs):
    """As an addition, and a division an element."""
    elements = size(outputs[0])
    return Cost(additions=elements * (len(inputs) - 1), elementwise=elements)


def multiplied(layer, inputs, outputs):
    """One operation an element for each input after the first: products, maxima, minima."""
    return Cost(elementwise=size(outputs[0]) * (len(inputs) - 1))


def dot(layer, inputs, outputs):
    """A product for every output element and every pair along the contracted axis."""
    axis = layer.axes[0] if isinstance(layer.axes, (tuple, list)) else layer.axes
    return Cost(macs=size(outputs[0]) * inputs[0][axis], reach=MIX)


def padded(layer, inputs, outputs):
    """Moves the map; where it is cropped, by a negative padding."""
    amounts = getattr(layer, "padding", None)
    sign = 1
    if amounts is None:
        amounts, sign = layer.cropping, -1
    axes = spatial(inputs[0], getattr(layer, "data_format", None))
    if not isinstance(amounts[0], (tuple, list)):
        amounts = (amounts,)
    pads = tuple((sign * before, sign * after) for before, after in amounts)
    ones = (1,) * len(axes)
    return Cost(window=Window(ones, ones, pads, ones, axes))


def enlarged(layer, inputs, outputs):
    """Nearest costs nothing; others what interpolation takes, axis by axis."""
    axes = spatial(inputs[0], getattr(layer, "data_format", None))
    return interpolated(getattr(layer, "interpolation", "nearest"), inputs[0], outputs[0], axes)


def resized(layer, inputs, outputs):
    """As enlarging; the axes are the two before the channels, of one image or of a batch."""
    axes = spatial(outputs[0], layer.data_format)
    return interpolated(layer.interpolation, inputs[0], outputs[0], axes)


def interpolated(how, given, made, axes):
    """Returns the cost of resampling a map, along each axis that changes."""
    changed = [axis for axis in axes if given[axis] != made[axis]]
    times, plus = ALONG.get(how, (0, 0))
    elements = size(made) * len(changed)
    cost = Cost(additions=plus * elements, elementwise=times * elements, reach=UNKNOWN)
    factors = [made[axis] / given[axis] for axis in axes]
    if not all(factor.is_integer() for factor in factors) or how not in ("nearest", "bilinear"):
        return cost  # its windows differ from unit to unit
    strides = tuple(int(factor) for factor in factors)
    # As a transposed convolution: nearest repeats a unit, bilinear weighs the two around a unit's centre.
    wide = how == "bilinear"
    kernel = tuple(2 * s if wide and s > 1 else s for s in strides)
    pads = tuple(((k - s) // 2, k - s - (k - s) // 2) for k, s in zip(kernel, strides, strict=True))
    ones = (1,) * len(axes)
    sliding = Window(kernel, strides, pads, ones, axes, transposed=True)
    return Cost(additions=cost.additions, elementwise=cost.elementwise, window=sliding)


AUGMENTATION = (
    "AugMix AutoContrast CutMix Equalization MixUp RandAugment RandomBrightness RandomColorDegeneration "
    "RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur "
    "RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation "
    "RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom Solarization"
)
RULES = {
    dense: "Dense",
    einsum_dense: "EinsumDense",
    moved: "Concatenate",
    looked_up: "Embedding",
    moved_away: "CenterCrop RandomCrop RepeatVector",
    passed: "ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise Identity InputLayer Masking "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D " + AUGMENTATION,
    reshaped: "Flatten Reshape",
    permuted: "Permute",
    reversible_embedding: "ReversibleEmbedding",
    batch_norm: "BatchNormalization",
    centred_norm: "GroupNormalization LayerNormalization",
    rms_norm: "RMSNormalization",
    unit_norm: "UnitNormalization",
    activated: "Activation",
    element: "ELU ReLU",
    softmax: "Softmax",
    scaled: "Normalization Rescaling",
    sloped: "LeakyReLU PReLU",
    added: "Add Subtract",
    averaged: "Average",
    multiplied: "Maximum Minimum Multiply",
    dot: "Dot",
    padded: "Cropping1D Cropping2D Cropping3D ZeroPadding1D ZeroPadding2D ZeroPadding3D",
    enlarged: "UpSampling1D UpSampling2D UpSampling3D",
    resized: "Resizing",
}
for _rule, _names in RULES.items():
    for _name in _names.split():
        if hasattr(layers, _name):  # some came with later versions of Keras
            register_cost(getattr(layers, _name), _rule)

"""Cells: small graphs of operations on two earlier maps, as architecture searches find them.

A genotype is (rows, concatenated), as the figures of the papers show a cell. A row is (node, operation, input,
operation, input): the node is the sum of two operations, each on an input of the cell or on an earlier node; in other
search spaces a node has any number of operations. The cell's output has the channels of the nodes, or inputs, in
`concatenated`.

    genotype = (
        ("c2", "sep5", "h0", "sep3", "h1"),
        ("c3", "avg", "c2", "id", "h1"),
    ), ("h1", "c3")

`OPERATIONS` has all operations of NASNet, PNASNet, AmoebaNet, ENAS, DARTS and SNAS. An operation is a function
`operation(x, filters, *, strides, name, **norm)` that returns a map of `filters` channels.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import keras
from keras import layers

from kapps._names import nearest
from kapps._values import short
from kapps.layers.convolution import batch_norm, conv, conv_bn, depthwise
from kapps.layers.drop_path import DropPath
from kapps.layers.padding import current_padding

POOLS = {"avg": layers.AveragePooling2D, "max": layers.MaxPooling2D}


def relu(x, *, name):
    """Applies a ReLU: the layer `<name>_relu`."""
    return layers.Activation("relu", name=f"{name}_relu")(x)


def relu_conv_bn(x, filters, kernel_size=1, *, strides=1, name, **norm):
    """ReLU, convolution and batch norm: the order in all operations of cells."""
    x = relu(x, name=name)
    return conv_bn(x, filters, kernel_size, strides=strides, name=name, **norm)


def separable(x, filters, *, kernel_size, strides=1, name, **norm):
    """Twice: ReLU, depthwise convolution, 1x1 convolution and batch norm. The first depthwise one has the strides."""
    for i, step in enumerate((strides, 1), start=1):
        x = relu(x, name=f"{name}_depthwise{i}")
        x = depthwise(x, kernel_size, strides=step, name=f"{name}_depthwise{i}")
        x = conv_bn(x, filters, 1, name=f"{name}_pointwise{i}", **norm)
    return x


def dilated(x, filters, *, kernel_size, strides=1, name, **norm):
    """ReLU, depthwise convolution with a dilation of 2, 1x1 convolution and batch norm."""
    x, dilation = relu(x, name=name), 2
    if strides == dilation:
        # Every window then reads only pixels of even rows and columns, as a kernel without dilation reads them here.
        x, dilation = layers.MaxPooling2D(1, strides=strides, name=f"{name}_even")(x), 1
    x = depthwise(x, kernel_size, dilation=dilation, name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, name=f"{name}_pointwise", **norm)


def factorised_7x7(x, filters, *, strides=1, name, **norm):
    """1x1 to a quarter of the filters, 1x7, 7x1 and 1x1: each after a ReLU and before a batch norm."""
    inner = max(filters // 4, 1)
    x = relu_conv_bn(x, inner, 1, name=f"{name}_conv1", **norm)
    x = relu_conv_bn(x, inner, (1, 7), strides=(1, strides), name=f"{name}_conv2", **norm)
    x = relu_conv_bn(x, inner, (7, 1), strides=(strides, 1), name=f"{name}_conv3", **norm)
    return relu_conv_bn(x, filters, 1, name=f"{name}_conv4", **norm)


def pooling(x, filters, *, kind, zeros=False, strides=1, name, **norm):
    """3x3 pooling, then a 1x1 convolution and batch norm if the channels differ.

    Args:
        kind: "avg" or "max".
        zeros: whether the padding of strided pooling is a value of zero; by default windows do not contain it, so an
            average is that of the pixels of the map. Pooling without strides never contains padding.
        Others: as for all operations.
    """
    channels, pool = x.shape[-1], POOLS[kind]
    if strides > 1 and zeros:
        x = layers.ZeroPadding2D(_padding_3x3(x, name), name=f"{name}_zeros")(x)
        x = pool(3, strides=strides, padding="valid", name=name)(x)
    elif strides > 1 and current_padding() == "symmetric":
        # Keras pads windows without strides on every side.
        x = pool(3, strides=1, padding="same", name=f"{name}_pad")(x)
        x = layers.MaxPooling2D(1, strides=strides, name=name)(x)
    else:
        # Keras 3.15 on PyTorch counts pixels twice in averages where SAME pads only on the right and bottom.
        x = pool(3, strides=strides, padding="same", name=name)(x)
    return x if channels == filters else conv_bn(x, filters, 1, name=f"{name}_conv", **norm)


def _padding_3x3(x, name):
    """Returns the padding ((top, bottom), (left, right)) of a 3x3 window with strides of 2."""
    if current_padding() == "symmetric":
        return 1
    if None in x.shape[1:3]:
        raise ValueError(
            f"{name}: strided pooling with zeros needs a map of known size, not {x.shape[1:3]}; "
            "pass an input_shape with height and width"
        )
    return tuple((side % 2, 1) for side in x.shape[1:3])


def identity(x, filters, *, strides=1, name, **norm):
    """The map itself, or ReLU, 1x1 convolution and batch norm where strides or channels differ."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    return relu_conv_bn(x, filters, 1, strides=strides, name=name, **norm)


def skip_connection(x, filters, *, strides=1, name, **norm):
    """The map itself, or factorised reduction where there are strides: the identity of DARTS."""
    return x if strides == 1 else factorised_reduction(x, filters, name=name, **norm)


def none(x, filters, *, strides=1, name, **norm):
    """0, computed from x as in DARTS's code, so that a node without other operations has a shape."""
    del filters, norm
    if strides > 1:
        x = layers.MaxPooling2D(1, strides=strides, name=f"{name}_even")(x)
    return layers.Rescaling(0.0, name=name)(x)


OPERATIONS = {
    "sep3": partial(separable, kernel_size=3),
    "sep5": partial(separable, kernel_size=5),
    "sep7": partial(separable, kernel_size=7),
    "dil3": partial(dilated, kernel_size=3),
    "dil5": partial(dilated, kernel_size=5),
    "1x7_7x1": factorised_7x7,
    "avg": partial(pooling, kind="avg"),
    "max": partial(pooling, kind="max"),
    "id": identity,
    "skip": skip_connection,
    "none": none,
}


def factorised_reduction(x, filters, *, activation=True, name, **norm):
    """Reduces height and width by half: 1x1 convolutions of two sets of pixels, concatenated, and batch norm.

    The first one reads the pixels of even rows and columns, the second one those of odd rows and columns. Of an odd
    number of filters the second has one more.

    Args:
        activation: whether a ReLU is the first layer.
        Others: as for all operations.
    """
    if activation:
        x = relu(x, name=name)
    even = conv(x, filters // 2, 1, strides=2, name=f"{name}_even")
    # A map with an odd side has one more even row than odd ones, and a row of zeros makes up for it.
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_shift_pad")(x)
    x = layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_shift")(x)
    odd = conv(x, filters - filters // 2, 1, strides=2, name=f"{name}_odd")
    x = layers.Concatenate(name=f"{name}_concat")([even, odd])
    return batch_norm(x, name=f"{name}_concat_bn", **norm)


def fit(x, filters, *, strides=1, name, **norm):
    """Returns a map of `filters` channels, of half the height and width if strides is 2: the input h1 of a cell."""
    if strides > 1:
        return factorised_reduction(x, filters, name=name, **norm)
    return identity(x, filters, name=name, **norm)


def cell(
    inputs: Mapping[str, keras.KerasTensor],
    genotype: Sequence,
    filters: int,
    *,
    operations: Mapping[str, Callable] = OPERATIONS,
    strides: int = 1,
    drop_rate: float = 0.0,
    drop_steps: int | None = None,
    edges: int | None = 2,
    name: str,
    **norm,
) -> keras.KerasTensor:
    """Builds a cell.

    Args:
        inputs: {name: map (batch, height, width, channels)} of the cell's inputs, all of the same height and width.
        genotype: (rows, concatenated), as at the top of this module.
        filters: channels of each node.
        operations: {name: operation}.
        strides: of the operations on the inputs, 1 or 2. Operations on nodes have no strides.
        drop_rate: fraction of the examples for which training drops the output of an operation. An identity is never
            dropped, nor is the operation "id" where it is a convolution.
        drop_steps: training steps in which the rate rises from 0, as for `DropPath`; None for the full rate at once.
        edges: number of operations of each node; None for any number.
        name: first part of the names of all layers.
        **norm: options of `batch_norm`.

    Returns:
        The map (batch, height / strides, width / strides, channels), concatenated of the genotype's nodes.

    Raises:
        ValueError: if the genotype has another form, an unknown operation, or reads a later map.
    """
    rows, concatenated = check_genotype(genotype, operations, inputs, edges)
    maps = dict(inputs)
    for node, *row in rows:
        branches = []
        sides = ("left", "right") if edges == 2 else [f"from{source}" for source in row[1::2]]
        for side, operation, source in zip(sides, row[::2], row[1::2], strict=True):
            x, layer = maps[source], f"{name}_{node}_{side}"
            step = strides if source in inputs else 1
            y = operations[operation](x, filters, strides=step, name=layer, **norm)
            if drop_rate and y is not x and operation not in ("id", "none"):
                y = DropPath(drop_rate, drop_steps, name=f"{layer}_drop")(y)
            branches.append(y)
        many = len(branches) > 1
        maps[node] = layers.Add(name=f"{name}_{node}")(branches) if many else branches[0]
    for node in inputs:
        if node not in concatenated:
            continue
        # The search spaces concatenate what no operation reads. An input may then have another shape.
        x, layer = maps[node], f"{name}_{node}_out"
        if strides > 1:
            maps[node] = factorised_reduction(x, filters, activation=False, name=layer, **norm)
        elif x.shape[-1] != filters:
            maps[node] = conv_bn(x, filters, 1, name=layer, **norm)
    outputs = [maps[node] for node in concatenated]
    return (
        layers.Concatenate(name=f"{name}_out")(outputs) if edges == 2 or outputs[1:] else outputs[0]
    )


def check_pair(genotype):
    """Returns (normal cell, reduction cell), and raises ValueError if there are not two cells."""
    if len(genotype) != 2:
        raise ValueError(f"genotype has {len(genotype)} cells; it is (normal cell, reduction cell)")
    return genotype


def check_genotype(genotype, operations, inputs, edges=2):
    """Returns (rows, concatenated) of a genotype, and raises ValueError for what cannot be built, in one line.

    Args:
        genotype, operations, inputs, edges: as for `cell`.
    """
    if len(genotype) != 2:
        raise ValueError(
            f"a cell has {len(genotype)} parts; it is (rows, names of the concatenated nodes)"
        )
    rows, concatenated = genotype
    maps = list(inputs)
    for row in rows:
        counts = (len(row) - 1) / 2  # of operations, each with an input
        if counts != edges if edges else counts not in range(1, len(maps) + 1):
            form = ", operation, input" * (edges or 1)
            raise ValueError(
                f"row {short(row)} of a cell is not (node{form}{'' if edges else ', ...'})"
            )
        for operation in row[1::2]:
            if operation not in operations:
                raise ValueError(
                    f"row {short(row)} of a cell: there is no operation {operation!r}."
                    f"{nearest(str(operation), operations)} Allowed: {', '.join(operations)}"
                )
        unknown = [source for source in row[2::2] if source not in maps]
        if unknown:
            raise ValueError(
                f"row {short(row)} of a cell reads {unknown[0]!r}; the maps before it are {', '.join(maps)}"
            )
        maps.append(row[0])
    unknown = [node for node in concatenated if node not in maps]
    if unknown or not concatenated:
        raise ValueError(
            f"a cell concatenates {short(concatenated)}; it has the maps {', '.join(maps)}"
        )
    return rows, concatenated

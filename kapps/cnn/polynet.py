"""PolyNet: Inception-ResNet-v2 whose modules add several paths, and compositions of one path with itself.

[1] Zhang 2016, arXiv:1611.05725, and its authors' code ("Very Deep PolyNet"), whose layers and weights pytorchcv has

F and G are the residual branches of Inception-ResNet-v2, with a batch norm after the last 1x1. A 2-way module is
I + F + G, a poly-3 module I + F + F^2 + F^3. Level 3 has 2-way modules; the levels 4 and 5 have a poly-3 and a 2-way
module in turn. The paths of a module are multiplied by a scale, which falls from 1 in the first module to 0.7 in the
last: 1 - k / 130 for k = 0 ... 39, to six digits as in the authors' code. Strided convolutions and most of the stem are
not padded: 331x331 pixels become 39x39, 19x19 and 9x9.

In a poly-3 module the convolutions of F's branches are the same in all three orders. Each order has batch norms of its
own, and a last 1x1 of its own.

Departures from the paper:
- [1] starts the training of a deep network from the modules of a trained shallower one ("initialization by insertion").
  Here all weights are random.
- [1] drops paths late in the training ("stochastic paths"). Set `drop_rate` for it; the default is 0.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps._keras_compat import producer
from kapps.builders import image_family, variant
from kapps.cnn import inception_v3
from kapps.cnn.inception_v3 import concat, reduction_pool
from kapps.layers import DropPath, batch_norm, conv, conv_bn
from kapps.preprocessing import IMAGENET

ZHANG = "arXiv:1611.05725"
# The branches of F and G: the filters and kernel sizes of the convolutions before the last 1x1.
A = (((32, 1), (48, 3), (64, 3)), ((32, 1), (32, 3)), ((32, 1),))
B = (((128, 1), (160, (1, 7)), (192, (7, 1))), ((192, 1),))
C = (((192, 1), (224, (1, 3)), (256, (3, 1))), ((192, 1),))

conv_bn_relu = partial(conv_bn, activation="relu")
branch = partial(inception_v3.branch, epsilon=1e-5)


def stem(x):
    """The stem of Inception-v4 with the 7x1 before the 1x7: level 1 to 3."""
    x = conv_bn_relu(x, 32, 3, strides=2, padding="valid", name="stem_conv1")
    x = conv_bn_relu(x, 32, 3, padding="valid", name="stem_conv2")
    x = conv_bn_relu(x, 64, 3, name="stem_conv3")

    name = "level2_block0"
    a = branch(x, (96, 3), strides=2, name=f"{name}_branch2")
    x = concat(reduction_pool(x, name=name), a, name=name)

    name = "level2_block1"
    a = branch(x, (64, 1), name=f"{name}_branch1")
    a = conv_bn_relu(a, 96, 3, padding="valid", name=f"{name}_branch1_conv2")
    b = branch(x, (64, 1), (64, (7, 1)), (64, (1, 7)), name=f"{name}_branch2")
    b = conv_bn_relu(b, 96, 3, padding="valid", name=f"{name}_branch2_conv4")
    x = concat(a, b, name=name)

    name = "level3_block0"
    a = branch(x, (192, 3), strides=2, name=f"{name}_branch2")
    return concat(reduction_pool(x, name=name), a, name=name)


def reduction_a(x, *, name):
    """1x1, 3x3, 3x3; 3x3; max pooling; with strides of 2."""
    a = branch(x, (256, 1), (256, 3), (384, 3), strides=2, name=f"{name}_branch1")
    b = branch(x, (384, 3), strides=2, name=f"{name}_branch2")
    return concat(a, b, reduction_pool(x, name=name), name=name)


def reduction_b(x, *, name):
    """1x1, 3x3, 3x3; 1x1, 3x3; 1x1, 3x3; max pooling; with strides of 2."""
    a = branch(x, (256, 1), (256, 3), (256, 3), strides=2, name=f"{name}_branch1")
    b = branch(x, (256, 1), (256, 3), strides=2, name=f"{name}_branch2")
    c = branch(x, (256, 1), (384, 3), strides=2, name=f"{name}_branch3")
    return concat(a, b, c, reduction_pool(x, name=name), name=name)


def path(outputs, filters, *, name):
    """The branches' outputs concatenated, and a 1x1 without ReLU: the end of F and G."""
    return conv_bn(concat(*outputs, name=name), filters, 1, name=f"{name}_conv")


def add_paths(x, paths, scale, *, drop_rate, name):
    """relu(x + scale * sum of paths). Training drops each path for a fraction `drop_rate` of the images."""
    if drop_rate:
        paths = [DropPath(drop_rate, name=f"{name}_drop{i}")(y) for i, y in enumerate(paths, 1)]
    y = layers.Add(name=f"{name}_paths")(paths)
    if scale != 1:
        y = layers.Rescaling(scale, name=f"{name}_scale")(y)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


def two_way(x, branches, scale, *, drop_rate, name):
    """I + F + G."""
    paths = []
    for part in (f"{name}_path1", f"{name}_path2"):
        outputs = [branch(x, *row, name=f"{part}_branch{i}") for i, row in enumerate(branches, 1)]
        paths.append(path(outputs, x.shape[-1], name=part))
    return add_paths(x, paths, scale, drop_rate=drop_rate, name=name)


def poly_3(x, branches, scale, *, drop_rate, name):
    """I + F + F^2 + F^3, with a ReLU between two F. The orders share the convolutions of the branches."""
    y, paths, convolutions = x, [], {}
    for order in (1, 2, 3):
        if paths:
            y = layers.Activation("relu", name=f"{name}_order{order - 1}_relu")(paths[-1])
        outputs = [
            shared_branch(y, row, order, convolutions, name=f"{name}_branch{i}")
            for i, row in enumerate(branches, 1)
        ]
        paths.append(path(outputs, x.shape[-1], name=f"{name}_order{order}"))
    return add_paths(x, paths, scale, drop_rate=drop_rate, name=name)


def shared_branch(x, rows, order, convolutions, *, name):
    """A branch with the convolutions of the first order, {name: layer}, and the batch norms of this order."""
    for i, (filters, kernel_size) in enumerate(rows, start=1):
        layer = f"{name}_conv{i}"
        if order == 1:
            x = conv(x, filters, kernel_size, name=layer)
            convolutions[layer] = producer(x)
        else:
            x = convolutions[layer](x)
        x = batch_norm(x, activation="relu", name=f"{layer}_bn{order}")
    return x


def modules(depths):
    """Yields (level, block, module, branches) of each module."""
    first, second, third = depths
    for i in range(first):
        yield 3, i + 1, two_way, A
    for level, branches, depth in ((4, B, second), (5, C, third)):
        for i in range(2 * depth):
            yield level, i + 1, (poly_3, two_way)[i % 2], branches


@image_family(
    minimum=75, padding="valid", input_shape=(331, 331, 3), preprocessing=IMAGENET.at((331, 331)),
    head=partial(heads.global_average_pooling, dropout=0.2),
)  # fmt: skip
def body(x, *, depths, drop_rate=0.0):
    """Builds PolyNet.

    Args:
        depths: number of 2-way modules at level 3, and of pairs of a poly-3 and a 2-way module at the levels 4 and 5.
        drop_rate: stochastic paths rise linearly from 0 in the first module to this rate in the last.
    """
    x = stem(x)
    rows = list(modules(depths))
    for k, (level, block, module, branches) in enumerate(rows):
        if level > 3 and block == 1:
            x = {4: reduction_a, 5: reduction_b}[level](x, name=f"level{level}_block0")
        share = k / max(len(rows) - 1, 1)
        x = module(
            x, branches, round(1 - 0.3 * share, 6), drop_rate=drop_rate * share,
            name=f"level{level}_block{block}",
        )  # fmt: skip
    return x


# fmt: off
#                                             modules at levels 3 to 5         trainable parameters and multiply-accumulates
polynet = variant(body, "polynet", depths=(10, 10, 5), paper=ZHANG, params=95_366_600, macs=34_699_493_472)
# fmt: on

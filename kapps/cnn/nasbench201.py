"""NAS-Bench-201: networks of one small cell, the search space of a benchmark for architecture searches on CIFAR.

[1] Dong 2020, arXiv:2001.00326, and its authors' code, github.com/D-X-Y/AutoDL-Projects

A cell has four nodes, and each of its six edges has one of five operations: 15,625 cells. A node is the sum of its
edges. `kapps.search.spaces.NASBench201` searches these cells.

Departure: operations whose results no operation reads are not built. The benchmark builds and counts them.
"""

from functools import partial

from keras import layers

from kapps._cell_strings import cell_digits, cell_genotype
from kapps._values import is_integer, short
from kapps.builders import image_family, levels, variant
from kapps.layers import batch_norm, cells, conv, conv_bn
from kapps.preprocessing import CIFAR10

DONG = "arXiv:2001.00326"
RESNET = "303101"
"""The cell of a residual block with two 3x3 convolutions."""


def identity(x, filters, *, strides=1, name, **norm):
    """The map itself: a cell has one number of channels and no strides."""
    del filters, strides, name, norm
    return x


OPERATIONS = {
    "none": cells.none,
    "skip_connect": identity,
    "nor_conv_1x1": partial(cells.relu_conv_bn, kernel_size=1),
    "nor_conv_3x3": partial(cells.relu_conv_bn, kernel_size=3),
    "avg_pool_3x3": partial(cells.pooling, kind="avg"),
}


def reduction(x, filters, *, name):
    """The residual block between stages: two ReLU-conv-BN; the shortcut is a 2x2 average pooling and a 1x1."""
    y = cells.relu_conv_bn(x, filters, 3, strides=2, name=f"{name}_conv1")
    y = cells.relu_conv_bn(y, filters, 3, name=f"{name}_conv2")
    x = layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
    x = conv(x, filters, 1, name=f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([x, y])


def cell_block(x, filters, *, genotype, name):
    """A cell: its output has the shape of its input."""
    return cells.cell({"0": x}, genotype, filters, operations=OPERATIONS, edges=None, name=name)


def body_of(x, block, filters, depth):
    """Builds stem, three stages of `depth` blocks `block(x, filters, name=...)`, and the reductions between them."""
    if not is_integer(depth):
        raise ValueError(f"depth={short(depth)} is not a positive integer, the cells of a stage")
    x = conv_bn(x, filters, 3, name="stem_conv")
    for level, strides, name in levels((depth,) * 3, first=0):
        if strides > 1:
            x = reduction(x, filters * 2**level, name=f"level{level}_block0")
        x = block(x, filters * 2**level, name=name)
    return batch_norm(x, activation="relu", name="level2_bn")


@image_family(minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10)
def body(x, *, cell=RESNET, filters=16, depth=5):
    """Builds a network of NAS-Bench-201.

    Args:
        cell: six digits, the operations of the edges 0-1, 0-2, 1-2, 0-3, 1-3 and 2-3: 0 none, 1 identity, 2 ReLU, 1x1
            convolution and batch norm, 3 the same with 3x3, 4 3x3 average pooling. Or the benchmark's string, such as
            "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|".
        filters: channels of the first stage, C of [1]; twice as many at each later stage.
        depth: number of cells of each of the three stages, N of [1].
    """
    block = partial(cell_block, genotype=cell_genotype(cell_digits(cell)))
    return body_of(x, block, filters, depth)


# fmt: off
#                                                                            trainable parameters and multiply-accumulates
nasbench201_resnet = variant(body, "nasbench201_resnet", cell=RESNET, paper=DONG, params=559_386, macs=78_561_920)
# fmt: on

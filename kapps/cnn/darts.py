"""DARTS: cells of a differentiable architecture search, stacked for ImageNet.

[1] Liu 2018, arXiv:1806.09055, and its authors' code, github.com/quark0/darts

A cell reads the two maps before it, c_{k-2} and c_{k-1} in the figures of [1]. Each of its nodes adds two operations on
earlier maps, and the output is the concatenation of the nodes. In a reduction cell the operations on c_{k-2} and
c_{k-1} have strides of 2.

Table 3 of [1] prints 574M multiply-accumulates for the second-order cells; the authors' network has 529.9M. What the
paper counts in addition is not known.
"""

from functools import partial

from kapps.builders import image_family, levels, variant
from kapps.cnn.nasnet import auxiliary_head
from kapps.layers import cells, conv, conv_bn

LIU = "arXiv:1806.09055"

# fmt: off
FIRST_ORDER = (
    ((  # normal cell
        ("0", "sep_conv_3x3", "c_{k-1}", "sep_conv_3x3", "c_{k-2}"),
        ("1", "skip_connect", "c_{k-2}", "sep_conv_3x3", "c_{k-1}"),
        ("2", "skip_connect", "c_{k-2}", "sep_conv_3x3", "c_{k-1}"),
        ("3", "sep_conv_3x3", "c_{k-2}", "skip_connect", "0"),
    ), ("0", "1", "2", "3")),
    ((  # reduction cell
        ("0", "max_pool_3x3", "c_{k-2}", "max_pool_3x3", "c_{k-1}"),
        ("1", "skip_connect", "0",       "max_pool_3x3", "c_{k-2}"),
        ("2", "max_pool_3x3", "c_{k-2}", "skip_connect", "0"),
        ("3", "skip_connect", "0",       "avg_pool_3x3", "c_{k-2}"),
    ), ("0", "1", "2", "3")),
)
SECOND_ORDER = (
    ((  # normal cell
        ("0", "sep_conv_3x3", "c_{k-2}", "sep_conv_3x3", "c_{k-1}"),
        ("1", "sep_conv_3x3", "c_{k-2}", "sep_conv_3x3", "c_{k-1}"),
        ("2", "sep_conv_3x3", "c_{k-1}", "skip_connect", "c_{k-2}"),
        ("3", "skip_connect", "c_{k-2}", "dil_conv_3x3", "0"),
    ), ("0", "1", "2", "3")),
    ((  # reduction cell
        ("0", "max_pool_3x3", "c_{k-2}", "max_pool_3x3", "c_{k-1}"),
        ("1", "skip_connect", "0",       "max_pool_3x3", "c_{k-1}"),
        ("2", "max_pool_3x3", "c_{k-2}", "skip_connect", "0"),
        ("3", "skip_connect", "0",       "max_pool_3x3", "c_{k-1}"),
    ), ("0", "1", "2", "3")),
)
# fmt: on


def conv_7x1_1x7(x, filters, *, strides=1, name, **norm):
    """ReLU, 1x7 convolution, 7x1 convolution and batch norm: in the authors' code an operation of AmoebaNet."""
    x = cells.relu(x, name=name)
    x = conv(x, filters, (1, 7), strides=(1, strides), name=f"{name}_conv1")
    return conv_bn(x, filters, (7, 1), strides=(strides, 1), name=f"{name}_conv2", **norm)


OPERATIONS = {
    "none": cells.OPERATIONS["none"],
    "max_pool_3x3": cells.OPERATIONS["max"],
    "avg_pool_3x3": cells.OPERATIONS["avg"],
    "skip_connect": cells.OPERATIONS["skip"],
    "sep_conv_3x3": cells.OPERATIONS["sep3"],
    "sep_conv_5x5": cells.OPERATIONS["sep5"],
    "sep_conv_7x7": cells.OPERATIONS["sep7"],
    "dil_conv_3x3": cells.OPERATIONS["dil3"],
    "dil_conv_5x5": cells.OPERATIONS["dil5"],
    "conv_7x1_1x7": conv_7x1_1x7,
}


def stack(
    older, newer, *, genotype, filters, depth, first, drop_rate, drop_steps, operations=OPERATIONS
):
    """Stacks cells at three levels. The first cell of the second and of the third level is a reduction cell.

    Args:
        older: map c_{k-2} of the first cell.
        newer: map c_{k-1} of the first cell.
        genotype: (normal cell, reduction cell).
        filters: channels of a node at the first level, twice as many at each later level.
        depth: number of cells.
        first: number of the first level; from 3 on `older` is twice as large as `newer`.
        drop_rate: drop path of all operations but the identity.
        drop_steps: training steps in which its rate rises from 0.
        operations: {name in the genotype: operation}.

    Returns:
        (last map, [map after the second reduction cell]).
    """
    if depth < 3:
        raise ValueError(f"depth={depth} is below 3, a cell for each of the three levels")
    normal, reduction = cells.check_pair(genotype)
    ends = (depth // 3, 2 * depth // 3, depth)
    depths = (ends[0], ends[1] - ends[0], ends[2] - ends[1])
    halved, inner = first > 0, None
    for i, (level, strides, name) in enumerate(levels(depths, first=first)):
        width = filters * 2 ** (level - first)
        fit_older = cells.factorised_reduction if halved else cells.relu_conv_bn
        inputs = {
            "c_{k-2}": fit_older(older, width, name=f"{name}_preprocess0"),
            "c_{k-1}": cells.relu_conv_bn(newer, width, name=f"{name}_preprocess1"),
        }
        x = cells.cell(
            inputs, reduction if strides == 2 else normal, width,
            operations=operations, strides=strides, drop_rate=drop_rate, drop_steps=drop_steps, name=name,
        )  # fmt: skip
        older, newer, halved = newer, x, strides == 2
        if i == ends[1]:
            inner = x
    return newer, [inner]


# A comment in the authors' code says that the experiments had no batch norm after the 2x2.
auxiliary = partial(auxiliary_head, strides=2, kernel_size=2, second_norm=False)


def imagenet_stem(x, filters):
    """Returns the maps of levels 2 and 3 that the first cell reads."""
    x = conv_bn(x, filters // 2, 3, strides=2, activation="relu", name="stem_conv1")
    older = conv_bn(x, filters, 3, strides=2, name="stem_conv2")
    return older, cells.relu_conv_bn(older, filters, 3, strides=2, name="level3_conv")


@image_family(minimum=32, auxiliary=auxiliary)
def body(x, *, genotype=SECOND_ORDER, filters=48, depth=14, drop_rate=0.0, drop_steps=None):
    """Builds a network of cells for ImageNet. The auxiliary classifier reads the first cell of level 5.

    Args:
        genotype: (normal cell, reduction cell). A cell is (rows, concatenated nodes), a row (node, operation, input,
            operation, input), as the figures of [1] show them; the inputs of a cell are "c_{k-2}" and "c_{k-1}".
        filters: channels of the nodes at level 3, C of [1].
        depth: number of cells, L of [1].
        drop_rate: drop path of each operation but the identity.
        drop_steps: training steps in which the rate rises from 0, as in all epochs of [1]; None for the full rate at once.
    """
    older, newer = imagenet_stem(x, filters)
    return stack(
        older, newer, genotype=genotype, filters=filters, depth=depth, first=3, drop_rate=drop_rate,
        drop_steps=drop_steps,
    )  # fmt: skip


# fmt: off
#                                     cells                                     trainable parameters and multiply-accumulates
darts_v1 = variant(body, "darts_v1", genotype=FIRST_ORDER,  filters=48, depth=14, paper=LIU, params=4_510_432, macs=505_864_704)
darts_v2 = variant(body, "darts_v2", genotype=SECOND_ORDER, filters=48, depth=14, paper=LIU, params=4_718_752, macs=529_911_552)
# fmt: on

"""ENAS, micro search space: cells that a search with shared weights found, stacked for CIFAR-10.

[1] Pham 2018, arXiv:1802.03268, and its authors' code, github.com/melodyguan/enas

The cells are the published ones, `fixed_arc` of the authors' script: input "0" is the older of the two maps before a
cell, input "1" the newer one, and the nodes are numbered from "2". Before the nodes both inputs get the channels of the
cell, and the newer one passes another 1x1 convolution. Nodes that no operation reads are concatenated. Padding is
TensorFlow's SAME, and classifiers have no bias.

The network with 18 normal cells has the 4.6M parameters that [1] prints; the published script builds it with 15.
The macro search space is `kapps.families.enas_macro`.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.cnn.nasnet import auxiliary_head
from kapps.layers import cells, conv_bn
from kapps.preprocessing import CIFAR10

PHAM = "arXiv:1802.03268"

# fmt: off
NORMAL = (
    ("2", "avg",  "0", "sep3", "0"),
    ("3", "id",   "0", "sep5", "0"),
    ("4", "id",   "0", "sep5", "1"),
    ("5", "sep3", "1", "sep5", "0"),
    ("6", "avg",  "0", "sep5", "1"),
), ("2", "3", "4", "5", "6")
REDUCTION = (
    ("2", "sep3", "1", "sep3", "1"),
    ("3", "max",  "0", "avg",  "0"),
    ("4", "sep5", "1", "sep5", "3"),
    ("5", "sep3", "1", "id",   "0"),
    ("6", "max",  "0", "sep5", "1"),
), ("2", "4", "5", "6")
# fmt: on


def identity(x, filters, *, strides=1, name, **norm):
    """The map itself, or factorised reduction without a ReLU where there are strides."""
    if strides == 1:
        return x
    return cells.factorised_reduction(x, filters, activation=False, name=name, **norm)


OPERATIONS = {**cells.OPERATIONS, "id": identity}


# It reads the second cell of level 2.
auxiliary = partial(auxiliary_head, padding="same", use_bias=False)


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10, padding="same",
    head=partial(heads.global_average_pooling, dropout=0.2, use_bias=False), auxiliary=auxiliary,
)  # fmt: skip
def body(x, *, genotype=(NORMAL, REDUCTION), filters=36, depth=18, drop_rate=0.4, drop_steps=None):
    """Builds a network of cells of ENAS's micro search space.

    Args:
        genotype: (normal cell, reduction cell). A cell is (rows, concatenated nodes), a row (node, operation, input,
            operation, input).
        filters: channels of the nodes at level 0.
        depth: number of normal cells, at least 3; there are two reduction cells in addition.
        drop_rate: scheduled drop path: the rate of the last cell. It rises linearly with the cells.
        drop_steps: training steps in which the rates rise from 0, as in all epochs of [1]; None for the full rates at
            once.
    """
    if depth < 3:
        raise ValueError(f"depth={depth} is below 3, a normal cell for each of the three levels")
    normal, reduction = cells.check_pair(genotype)
    third = depth // 3
    depths = (third, third + 1, depth + 1 - 2 * third)
    x = conv_bn(x, 3 * filters, 3, name="stem_conv")
    older, newer, halved, inner = x, x, False, None
    for i, (level, strides, name) in enumerate(levels(depths, first=0), start=1):
        width = filters * 2**level
        current = cells.fit(newer, width, name=f"{name}_calibrate1")
        inputs = {
            "0": cells.fit(older, width, strides=1 + halved, name=f"{name}_calibrate0"),
            "1": cells.relu_conv_bn(current, width, name=f"{name}_base"),
        }
        x = cells.cell(
            inputs, reduction if strides == 2 else normal, width, operations=OPERATIONS,
            strides=strides, drop_rate=drop_rate * i / sum(depths), drop_steps=drop_steps, name=name,
        )  # fmt: skip
        older, newer, halved = newer, x, strides == 2
        if i == depths[0] + depths[1] + 2:
            inner = x
    return layers.Activation("relu", name="level2_relu")(x), [inner]


# fmt: off
#                                                        trainable parameters and multiply-accumulates
enas_micro18 = variant(body, "enas_micro18", depth=18, paper=PHAM, params=4_587_372, macs=727_702_560)
enas_micro15 = variant(body, "enas_micro15", depth=15, paper=PHAM, params=3_894_372, macs=620_907_552)
# fmt: on

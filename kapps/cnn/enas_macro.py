"""ENAS, macro search space: a whole network that a search with shared weights found, for CIFAR-10.

[1] Pham 2018, arXiv:1802.03268, and its authors' code, github.com/melodyguan/enas

The network is the published one, `fixed_arc` of the authors' script. Each layer has an operation and the earlier
outputs that it reads by skip connections. After a third and two thirds of the layers, all outputs so far are reduced to
half their height and width, and the channels double.

The sources disagree on the number of parameters, and why is not known:
- [1] prints 21.3M, and 38.0M with more filters.
- The code of the final network has ordinary convolutions also where the search had separable ones: 42.6M with the
  script's 96 filters, `enas_macro`.
- With separable convolutions there are 30.9M, `enas_macro_separable`.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.layers import cells, conv_bn, depthwise
from kapps.preprocessing import CIFAR10

PHAM = "arXiv:1802.03268"

# fmt: off
ARC = (
    # operation, outputs that skip connections read: 0 is the stem's, 1 the first layer's
    ("conv3", ()), ("sep5", ()), ("conv3", (0,)), ("conv5", (2,)), ("conv5", ()), ("sep5", (0, 1, 3)),
    ("conv5", (5,)), ("conv5", (1, 2, 4, 5, 6)), ("sep3", (1, 2, 3, 5, 7)), ("conv3", ()), ("conv5", (5,)),
    ("conv3", (0, 3, 4, 9, 10)), ("conv5", (1, 7, 9, 10)), ("sep3", (2, 6, 7, 8, 10, 12)),
    ("conv3", (0, 1, 3, 5, 11)), ("conv5", (2, 10, 12, 14)), ("conv5", (1, 5, 8, 9, 10, 11, 14)),
    ("conv5", (4, 6, 8, 11, 13, 16)), ("sep5", (1, 2, 4, 10, 12, 14)), ("sep5", (1, 2, 12, 13, 18)),
    ("conv3", (0, 3, 5, 6, 10, 16, 17)), ("sep5", (1, 3, 4, 7, 9, 10, 12, 13, 15, 18)),
    ("conv3", (0, 2, 4, 13, 15, 18)), ("conv3", (0, 1, 5, 6, 7, 9, 13, 15, 18, 19)),
)
# fmt: on


def layer(x, skips, operation, filters, *, separable, first, name):
    """ReLU, 1x1, ReLU and the convolution; then ReLU and 1x1 of the output and the skipped ones, concatenated.

    Args:
        x: output of the layer before it.
        skips: outputs that skip connections read.
        operation: "conv3", "conv5", "sep3" or "sep5".
        filters: number of output channels.
        separable: whether "sep3" and "sep5" are separable convolutions, or else ordinary ones.
        first: whether it is the first layer of the network, without skip connections.
        name: first part of the names of the layers.
    """
    kernel_size = int(operation[-1])
    x = cells.relu_conv_bn(x, filters, 1, name=f"{name}_conv1")
    if separable and operation.startswith("sep"):
        x = cells.relu(x, name=f"{name}_depthwise")
        x = depthwise(x, kernel_size, name=f"{name}_depthwise")
        x = conv_bn(x, filters, 1, name=f"{name}_conv2")
    else:
        x = cells.relu_conv_bn(x, filters, kernel_size, name=f"{name}_conv2")
    if skips:
        x = layers.Concatenate(name=f"{name}_concat")([*skips, x])
    return x if first else cells.relu_conv_bn(x, filters, 1, name=f"{name}_skip")


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10, padding="valid",
    head=partial(heads.global_average_pooling, dropout=0.5, use_bias=False),
)  # fmt: skip
def body(x, *, arc=ARC, filters=96, separable=False):
    """Builds a network of ENAS's macro search space.

    Args:
        arc: (operation, numbers of the outputs that skip connections read) of each layer. Operations are "conv3",
            "conv5", "sep3" and "sep5"; output 0 is the stem's, output n that of the n-th layer.
        filters: number of channels at level 0, twice as many at each later level.
        separable: whether "sep3" and "sep5" are separable convolutions; else they are ordinary ones.
    """
    third = len(arc) // 3
    depths = (third, third, len(arc) - 2 * third)
    outputs = [conv_bn(x, filters, 3, name="stem_conv")]
    for (operation, skips), (level, strides, name) in zip(
        arc, levels(depths, first=0), strict=True
    ):
        width = filters * 2**level
        if strides > 1:
            outputs = [
                cells.factorised_reduction(y, width, activation=False, name=f"level{level}_from{i}")
                for i, y in enumerate(outputs)
            ]
        y = layer(
            outputs[-1], [outputs[i] for i in skips], operation, width, separable=separable,
            first=len(outputs) == 1, name=name,
        )  # fmt: skip
        outputs.append(y)
    return outputs[-1]


# fmt: off
#                                                                                         trainable parameters and multiply-accumulates
enas_macro           = variant(body, "enas_macro",           filters=96, separable=False, paper=PHAM, params=42_559_392, macs=5_646_094_080)
enas_macro_separable = variant(body, "enas_macro_separable", filters=96, separable=True,  paper=PHAM, params=30_947_424)
# fmt: on

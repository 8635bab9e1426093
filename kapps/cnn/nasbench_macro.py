"""NAS-Bench-Macro: networks of eight layers, each an identity or an inverted residual, for CIFAR.

[1] Su 2021, arXiv:2103.11922, and its authors' code, github.com/xiusu/NAS-Bench-Macro

6,561 networks: each layer is an identity (0), an inverted residual with a 3x3 and an expansion of 3 (1), or one with a
5x5 and an expansion of 6 (2). `kapps.search.spaces.NASBenchMacro` searches them.
"""

import re

from kapps._values import short
from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn
from kapps.layers.inverted_residual import inverted_residual
from kapps.preprocessing import CIFAR10

SU = "arXiv:2103.11922"
BLOCKS = {"1": (3, 3), "2": (5, 6)}
"""Kernel size and expansion of the inverted residuals."""
DEPTHS = (2, 3, 3)


def layer(x, filters, block, *, strides, name):
    """A layer; an identity is a 1x1 convolution and a batch norm where strides or channels differ."""
    if block in BLOCKS:
        kernel_size, expansion = BLOCKS[block]
        return inverted_residual(
            x, filters, kernel_size, expanded=expansion * x.shape[-1], strides=strides, activation="relu",
            name=name,
        )  # fmt: skip
    if strides == 1 and x.shape[-1] == filters:
        return x
    return conv_bn(x, filters, 1, strides=strides, name=f"{name}_downsample")


@image_family(minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10)
def body(x, *, blocks="22222222", filters=32, features=1280):
    """Builds a network of NAS-Bench-Macro.

    Args:
        blocks: eight digits, one for each layer: 0 identity, 1 inverted residual 3x3 with an expansion of 3, 2 inverted
            residual 5x5 with an expansion of 6.
        filters: channels of the stem; twice as many in each of the three stages.
        features: channels before the classifier.
    """
    if not isinstance(blocks, str) or not re.fullmatch(rf"[012]{{{sum(DEPTHS)}}}", blocks):
        raise ValueError(
            f"blocks={short(blocks)} is not {sum(DEPTHS)} digits from 0 to 2, one for each layer"
        )
    x = conv_bn(x, filters, 3, activation="relu", name="stem_conv")
    rows = zip(levels(DEPTHS, first=1, strides=2), blocks, strict=True)
    for (level, strides, name), block in rows:
        x = layer(x, filters * 2**level, block, strides=strides, name=name)
    return conv_bn(x, features, 1, activation="relu", name="level3_conv")


# fmt: off
#                                                                                        trainable parameters and multiply-accumulates of the benchmark's table
nasbench_macro_largest = variant(body, "nasbench_macro_largest", blocks="22222222", paper=SU, params=2_932_586, macs=105_660_928)
# fmt: on

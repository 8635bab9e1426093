"""SNAS for CIFAR: cells of a stochastic architecture search, stacked for images of 32x32 pixels.

[1] Xie 2018, arXiv:1812.09926, and its authors' code, github.com/SNAS-Series/SNAS-Series

The networks are those of DARTS for CIFAR with the cells in `kapps/cnn/snas.py`.
"""

from kapps.builders import image_family, variant
from kapps.cnn.darts import stack
from kapps.cnn.darts_cifar import auxiliary
from kapps.cnn.snas import AGGRESSIVE, MILD, MODERATE, OPERATIONS, XIE
from kapps.layers import conv_bn
from kapps.preprocessing import CIFAR10


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10, auxiliary=auxiliary
)
def body(
    x, *, genotype=MODERATE, filters=36, depth=20, drop_rate=0.2, drop_steps=None, pool_norm=False
):
    """Builds a network of cells for CIFAR. The auxiliary classifier reads the first cell of level 2.

    Args:
        genotype: (normal cell, reduction cell), as for `kapps.families.darts`.
        filters: channels of the nodes at level 0.
        depth: number of cells.
        drop_rate: drop path of each operation but the identity.
        drop_steps: training steps in which the rate rises from 0, as in all epochs of [1]; None for the full rate at once.
        pool_norm: whether a batch norm follows each pooling.
    """
    x = conv_bn(x, 3 * filters, 3, name="stem_conv")
    return stack(
        x, x, genotype=genotype, filters=filters, depth=depth, first=0, drop_rate=drop_rate,
        drop_steps=drop_steps, operations=OPERATIONS[pool_norm],
    )  # fmt: skip


# fmt: off
#                                                               cells                                                  trainable parameters and multiply-accumulates
snas_mild_cifar       = variant(body, "snas_mild_cifar",       genotype=MILD,       filters=36, depth=20, drop_rate=0.2, paper=XIE, params=2_661_382, macs=422_218_368)
snas_moderate_cifar   = variant(body, "snas_moderate_cifar",   genotype=MODERATE,   filters=36, depth=20, drop_rate=0.2, paper=XIE, params=2_847_358, macs=440_687_232)
snas_aggressive_cifar = variant(body, "snas_aggressive_cifar", genotype=AGGRESSIVE, filters=36, depth=20, drop_rate=0.2, paper=XIE, params=2_313_622, macs=374_912_640)
# fmt: on

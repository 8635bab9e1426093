"""DARTS for CIFAR: cells of a differentiable architecture search, stacked for images of 32x32 pixels.

[1] Liu 2018, arXiv:1806.09055, and its authors' code, github.com/quark0/darts

The authors' code also has the cells of NASNet-A and AmoebaNet-A in its own form, to train them as its own:
`kapps.families.darts_cifar(genotype=kapps.cnn.darts_cifar.NASNET)`. The networks of these papers are `nasnet` and
`amoebanet`: they concatenate other maps, and the AmoebaNet has other connections.
"""

from functools import partial

from kapps.builders import image_family, variant
from kapps.cnn.darts import FIRST_ORDER, LIU, SECOND_ORDER, stack
from kapps.cnn.nasnet import auxiliary_head
from kapps.layers import conv_bn
from kapps.preprocessing import CIFAR10

# fmt: off
NASNET = (
    ((  # normal cell
        ("0", "sep_conv_5x5", "c_{k-1}", "sep_conv_3x3", "c_{k-2}"),
        ("1", "sep_conv_5x5", "c_{k-2}", "sep_conv_3x3", "c_{k-2}"),
        ("2", "avg_pool_3x3", "c_{k-1}", "skip_connect", "c_{k-2}"),
        ("3", "avg_pool_3x3", "c_{k-2}", "avg_pool_3x3", "c_{k-2}"),
        ("4", "sep_conv_3x3", "c_{k-1}", "skip_connect", "c_{k-1}"),
    ), ("0", "1", "2", "3", "4")),
    ((  # reduction cell
        ("0", "sep_conv_5x5", "c_{k-1}", "sep_conv_7x7", "c_{k-2}"),
        ("1", "max_pool_3x3", "c_{k-1}", "sep_conv_7x7", "c_{k-2}"),
        ("2", "avg_pool_3x3", "c_{k-1}", "sep_conv_5x5", "c_{k-2}"),
        ("3", "skip_connect", "1",       "avg_pool_3x3", "0"),
        ("4", "sep_conv_3x3", "0",       "max_pool_3x3", "c_{k-1}"),
    ), ("2", "3", "4")),
)
AMOEBANET = (
    ((  # normal cell
        ("0", "avg_pool_3x3", "c_{k-2}", "max_pool_3x3", "c_{k-1}"),
        ("1", "sep_conv_3x3", "c_{k-2}", "sep_conv_5x5", "0"),
        ("2", "sep_conv_3x3", "c_{k-2}", "avg_pool_3x3", "1"),
        ("3", "sep_conv_3x3", "c_{k-1}", "skip_connect", "c_{k-1}"),
        ("4", "skip_connect", "c_{k-2}", "avg_pool_3x3", "c_{k-1}"),
    ), ("2", "3", "4")),
    ((  # reduction cell
        ("0", "avg_pool_3x3", "c_{k-2}", "sep_conv_3x3", "c_{k-1}"),
        ("1", "max_pool_3x3", "c_{k-2}", "sep_conv_7x7", "0"),
        ("2", "sep_conv_7x7", "c_{k-2}", "avg_pool_3x3", "c_{k-1}"),
        ("3", "max_pool_3x3", "c_{k-2}", "max_pool_3x3", "c_{k-1}"),
        ("4", "conv_7x1_1x7", "c_{k-2}", "sep_conv_3x3", "3"),
    ), ("1", "2", "4")),
)
# fmt: on

auxiliary = partial(auxiliary_head, kernel_size=2)


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10, auxiliary=auxiliary
)
def body(x, *, genotype=SECOND_ORDER, filters=36, depth=20, drop_rate=0.2, drop_steps=None):
    """Builds a network of cells for CIFAR. The auxiliary classifier reads the first cell of level 2.

    Args:
        genotype: (normal cell, reduction cell), as for `kapps.families.darts`.
        filters: channels of the nodes at level 0, C of [1].
        depth: number of cells, L of [1].
        drop_rate: drop path of each operation but the identity.
        drop_steps: training steps in which the rate rises from 0, as in all epochs of [1]; None for the full rate at once.
    """
    x = conv_bn(x, 3 * filters, 3, name="stem_conv")
    return stack(
        x, x, genotype=genotype, filters=filters, depth=depth, first=0, drop_rate=drop_rate,
        drop_steps=drop_steps,
    )  # fmt: skip


# fmt: off
#                                                 cells                                                        trainable parameters and multiply-accumulates
darts_v1_cifar = variant(body, "darts_v1_cifar", genotype=FIRST_ORDER,  filters=36, depth=20, drop_rate=0.2, paper=LIU, params=3_169_414, macs=500_987_520)
darts_v2_cifar = variant(body, "darts_v2_cifar", genotype=SECOND_ORDER, filters=36, depth=20, drop_rate=0.2, paper=LIU, params=3_349_342, macs=528_359_040)
# fmt: on

"""SNAS: cells of a stochastic architecture search, stacked for ImageNet.

[1] Xie 2018, arXiv:1812.09926, and its authors' code, github.com/SNAS-Series/SNAS-Series

The networks are those of DARTS with other cells, found with a mild, moderate or aggressive penalty on resources. The
reduction cell of the last one has two nodes without an operation, "none" twice; they are concatenated as the others.

- The cells are those of the file SNAS/genotypes.py. The file in Analysis/ has another moderate reduction cell: its last
  row is sep_conv_5x5 of c_{k-2} twice.
- The code of the authors also has lists of all edges, `*_edge_all`. The edges that they add are "none", so the function
  is the same.
- The code of the authors has a batch norm after each pooling, as DARTS has it in its search only. The parameters that
  [1] prints, to 0.1M, do not decide which form was trained: `pool_norm` builds either.
- [1] prints 4.3M parameters and 522M multiply-accumulates for the mild cells on ImageNet, where this network has 3.9M and
  438M; with the moderate cells it has 4.3M and 466M. Why is not known.
"""

from functools import partial

from kapps.builders import image_family, variant
from kapps.cnn import darts
from kapps.cnn.darts import auxiliary, imagenet_stem, stack
from kapps.layers import batch_norm, cells

XIE = "arXiv:1812.09926"

# fmt: off
MILD = (
    ((  # normal cell
        ("0", "sep_conv_3x3", "c_{k-2}", "sep_conv_3x3", "c_{k-1}"),
        ("1", "skip_connect", "c_{k-2}", "dil_conv_3x3", "c_{k-1}"),
        ("2", "skip_connect", "c_{k-2}", "skip_connect", "c_{k-1}"),
        ("3", "skip_connect", "c_{k-2}", "sep_conv_3x3", "c_{k-1}"),
    ), ("0", "1", "2", "3")),
    ((  # reduction cell
        ("0", "max_pool_3x3", "c_{k-2}", "max_pool_3x3", "c_{k-1}"),
        ("1", "max_pool_3x3", "c_{k-1}", "skip_connect", "0"),
        ("2", "max_pool_3x3", "c_{k-1}", "skip_connect", "0"),
        ("3", "max_pool_3x3", "c_{k-2}", "dil_conv_5x5", "0"),
    ), ("0", "1", "2", "3")),
)
MODERATE = (
    ((  # normal cell
        ("0", "dil_conv_5x5", "c_{k-2}", "skip_connect", "c_{k-1}"),
        ("1", "sep_conv_3x3", "c_{k-2}", "skip_connect", "c_{k-1}"),
        ("2", "skip_connect", "c_{k-2}", "skip_connect", "c_{k-1}"),
        ("3", "sep_conv_3x3", "c_{k-2}", "dil_conv_5x5", "c_{k-1}"),
    ), ("0", "1", "2", "3")),
    ((  # reduction cell
        ("0", "max_pool_3x3", "c_{k-2}", "max_pool_3x3", "c_{k-1}"),
        ("1", "sep_conv_5x5", "c_{k-2}", "dil_conv_5x5", "c_{k-1}"),
        ("2", "sep_conv_5x5", "c_{k-2}", "sep_conv_5x5", "c_{k-1}"),
        ("3", "sep_conv_5x5", "c_{k-2}", "sep_conv_5x5", "c_{k-1}"),
    ), ("0", "1", "2", "3")),
)
AGGRESSIVE = (
    ((  # normal cell
        ("0", "sep_conv_5x5", "c_{k-2}", "skip_connect", "c_{k-1}"),
        ("1", "skip_connect", "c_{k-2}", "skip_connect", "c_{k-1}"),
        ("2", "dil_conv_5x5", "c_{k-1}", "skip_connect", "c_{k-2}"),
        ("3", "skip_connect", "c_{k-2}", "dil_conv_5x5", "c_{k-1}"),
    ), ("0", "1", "2", "3")),
    ((  # reduction cell
        ("0", "sep_conv_5x5", "c_{k-2}", "none", "c_{k-1}"),
        ("1", "sep_conv_5x5", "c_{k-2}", "none", "c_{k-1}"),
        ("2", "none",         "c_{k-1}", "none", "c_{k-2}"),
        ("3", "none",         "c_{k-1}", "none", "c_{k-2}"),
    ), ("0", "1", "2", "3")),
)
# fmt: on


def pooling_bn(x, filters, *, kind, strides=1, name, **norm):
    """3x3 pooling and batch norm."""
    x = cells.pooling(x, filters, kind=kind, strides=strides, name=name, **norm)
    return batch_norm(x, name=f"{name}_pool_bn", **norm)


OPERATIONS = {
    False: darts.OPERATIONS,
    True: {
        **darts.OPERATIONS,
        "max_pool_3x3": partial(pooling_bn, kind="max"),
        "avg_pool_3x3": partial(pooling_bn, kind="avg"),
    },
}
"""The operations of the cells by `pool_norm`."""


@image_family(minimum=32, auxiliary=auxiliary)
def body(
    x, *, genotype=MODERATE, filters=48, depth=14, drop_rate=0.0, drop_steps=None, pool_norm=False
):
    """Builds a network of cells for ImageNet. The auxiliary classifier reads the first cell of level 5.

    Args:
        genotype: (normal cell, reduction cell), as for `kapps.families.darts`.
        filters: channels of the nodes at level 3.
        depth: number of cells.
        drop_rate: drop path of each operation but the identity.
        drop_steps: training steps in which the rate rises from 0, as in all epochs of [1]; None for the full rate at once.
        pool_norm: whether a batch norm follows each pooling.
    """
    older, newer = imagenet_stem(x, filters)
    return stack(
        older, newer, genotype=genotype, filters=filters, depth=depth, first=3, drop_rate=drop_rate,
        drop_steps=drop_steps, operations=OPERATIONS[pool_norm],
    )  # fmt: skip


# fmt: off
#                                                   cells                                   trainable parameters and multiply-accumulates
snas_mild       = variant(body, "snas_mild",       genotype=MILD,       filters=48, depth=14, paper=XIE, params=3_939_328, macs=438_042_432)
snas_moderate   = variant(body, "snas_moderate",   genotype=MODERATE,   filters=48, depth=14, paper=XIE, params=4_312_576, macs=465_607_872)
snas_aggressive = variant(body, "snas_aggressive", genotype=AGGRESSIVE, filters=48, depth=14, paper=XIE, params=3_561_952, macs=395_715_840)
# fmt: on

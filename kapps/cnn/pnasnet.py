"""PNASNet-5: one cell that a progressive search found, with strides of 2 where the resolution is reduced.

[1] Liu 2017, arXiv:1712.00559, and its authors' code

The stack is NASNet's, but a reduction cell is one of the N cells of its level. Where a width is odd, the factorised
reduction's second convolution has one more filter. [1] has no code for CIFAR: batch norm and drop path are NASNet's
there.
"""

from kapps.builders import image_family, variant
from kapps.cnn.nasnet import CIFAR, IMAGENET_331, auxiliary, depths_of, head, stack
from kapps.preprocessing import INCEPTION

LIU = "arXiv:1712.00559"

# fmt: off
CELL = (  # figure 1 of [1]
    ("c2", "sep5", "h1", "max",  "h1"),
    ("c3", "sep7", "h0", "max",  "h0"),
    ("c4", "sep5", "h0", "sep3", "h0"),
    ("c5", "sep3", "c4", "max",  "h0"),
    ("c6", "sep3", "h1", "id",   "h0"),
), ("c2", "c3", "c4", "c5", "c6")
# fmt: on


@image_family(minimum=32, padding="same", preprocessing=INCEPTION, head=head, auxiliary=auxiliary)
def body(
    x, *, n, filters, stem=32, cifar=False, pool_padding="ignored", drop_rate=0.0, drop_steps=None
):  # fmt: skip
    """Builds PNASNet-5.

    Args:
        n: number of cells at each of three levels.
        filters: channels of each node of the first cell without strides.
        stem: filters of the stem's convolution.
        cifar: whether the first cells are on a map of the input's size.
        pool_padding: "ignored" (padding of pooling with strides is in no window) or "zeros" (maxima contain it as
            zeros); the cell has no averages.
        drop_rate: rate of drop path in the last cell; it rises linearly over the cells.
        drop_steps: training steps in which the rate rises from 0; None for the full rate at once.
    """
    return stack(
        x, depths_of(n, cifar, reductions=0), filters, CELL, CELL, stem=stem, cifar=cifar,
        pool_padding=pool_padding, drop_rate=drop_rate, drop_steps=drop_steps,
    )  # fmt: skip


# fmt: off
#                                                      cells  nodes' filters  stem                                                     trainable parameters and multiply-accumulates
pnasnet5_mobile = variant(body, "pnasnet5_mobile", n=3, filters=54,  stem=32,                                             paper=LIU, params=5_064_487,  macs=587_293_200)
pnasnet5_large  = variant(body, "pnasnet5_large",  n=4, filters=216, stem=96, drop_rate=0.4, preprocessing=IMAGENET_331, paper=LIU, params=86_057_668, macs=24_937_395_792)
pnasnet5_cifar  = variant(body, "pnasnet5_cifar",  n=3, filters=48,  stem=144, drop_rate=0.4, **CIFAR,                    paper=LIU, params=3_189_082,  macs=574_891_392)
# fmt: on

"""AmoebaNet-A: two cells that an evolutionary search found.

[1] Real 2018, arXiv:1802.01548, and its authors' code

The stack is NASNet's, and so are batch norm and the stem for CIFAR, for which there is no code. Drop path has the same
rate in all cells, as in the code. [1] prints 104 billion multiply-accumulates for N = 6, F = 448: those of 299x299
pixels. The default is 331x331, as for the other large ones. Where a width is odd, as with F = 50 and 190, the second
convolution of factorised reduction has one more filter, as in PNASNet; the code of [1] allows only even widths.
"""

from kapps.builders import image_family, variant
from kapps.cnn.nasnet import CIFAR, IMAGENET_331, auxiliary, depths_of, head, stack
from kapps.preprocessing import INCEPTION

REAL = "arXiv:1802.01548"

# fmt: off
NORMAL = (  # figure 5 of [1]
    ("c2", "avg",  "h0", "max",  "h0"),
    ("c3", "sep3", "h1", "id",   "h1"),
    ("c4", "id",   "h0", "avg",  "h1"),
    ("c5", "sep3", "h0", "sep5", "c2"),
    ("c6", "avg",  "c5", "sep3", "h0"),
), ("h1", "c3", "c4", "c6")
REDUCTION = (
    ("c2", "sep3", "h1", "avg",     "h0"),
    ("c3", "max",  "h0", "sep7",    "c2"),
    ("c4", "max",  "h1", "max",     "h0"),
    ("c5", "sep3", "c4", "1x7_7x1", "h0"),
    ("c6", "avg",  "h1", "sep7",    "h0"),
), ("c2", "c3", "c4", "c5", "c6")
# fmt: on


@image_family(minimum=32, padding="same", preprocessing=INCEPTION, head=head, auxiliary=auxiliary)
def body(
    x, *, n, filters, stem=32, cifar=False, pool_padding="ignored", drop_rate=0.3, drop_steps=None
):  # fmt: skip
    """Builds AmoebaNet-A.

    Args:
        n: number of normal cells at each of three levels.
        filters: channels of each node of the first normal cell.
        stem: filters of the stem's convolution.
        cifar: whether the first cells are normal ones, on a map of the input's size.
        pool_padding: "ignored" (padding of pooling with strides is in no window), "averaged" (averages contain it as
            zeros) or "zeros" (maxima do too).
        drop_rate: rate of drop path in all cells.
        drop_steps: training steps in which the rate rises from 0; None for the full rate at once.
    """
    return stack(
        x, depths_of(n, cifar), filters, NORMAL, REDUCTION, stem=stem, cifar=cifar,
        pool_padding=pool_padding, drop_rate=drop_rate, drop_steps=drop_steps, by_depth=False,
    )  # fmt: skip


# fmt: off
#                                                                        cells  nodes' filters                                                trainable parameters and multiply-accumulates
amoebanet_a_n4_f50    = variant(body, "amoebanet_a_n4_f50",    n=4, filters=50,                                                  paper=REAL, params=5_086_930,   macs=554_687_204)
amoebanet_a_n6_f190   = variant(body, "amoebanet_a_n6_f190",   n=6, filters=190, preprocessing=IMAGENET_331,                     paper=REAL, params=86_718_797,  macs=23_133_663_507)
amoebanet_a_n6_f204   = variant(body, "amoebanet_a_n6_f204",   n=6, filters=204, preprocessing=IMAGENET_331,                     paper=REAL, params=99_625_282,  macs=26_623_181_694)
amoebanet_a_n6_f448   = variant(body, "amoebanet_a_n6_f448",   n=6, filters=448, preprocessing=IMAGENET_331,                     paper=REAL, params=468_151_184, macs=126_520_757_776)
amoebanet_a_cifar_f32 = variant(body, "amoebanet_a_cifar_f32", n=6, filters=32, stem=96,  **CIFAR,                               paper=REAL, params=2_567_754,   macs=407_671_808)
amoebanet_a_cifar_f36 = variant(body, "amoebanet_a_cifar_f36", n=6, filters=36, stem=108, **CIFAR,                               paper=REAL, params=3_218_266,   macs=509_668_992)
# fmt: on

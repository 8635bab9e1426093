"""DelugeNet for CIFAR.

[1] Kuen 2016, arXiv:1611.05552, and its authors' code

The first composite layer of the first block reads the stem, which has other channels and is not a source of the block.
"""

from kapps.builders import image_family, variant
from kapps.cnn.delugenet import blocks
from kapps.layers import conv
from kapps.preprocessing import CIFAR10

KUEN = "arXiv:1611.05552"


@image_family(minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10)
def body(x, *, depths, filters=32):
    """Builds DelugeNet for CIFAR.

    Args:
        depths: number of composite layers at the levels 0, 1 and 2.
        filters: of the stem, and of the 3x3 convolutions at level 0; each next level has twice as many.
    """
    x = conv(x, filters, 3, name="stem_conv")
    return blocks(x, depths, filters, first=0)


# fmt: off
#                                                                  composite layers              width                   the paper prints 6.7M, 10.0M, 20.2M
delugenet146_cifar      = variant(body, "delugenet146_cifar",      depths=(8,  16, 24),             paper=KUEN, params=6_686_250,  macs=691_898_880)
delugenet218_cifar      = variant(body, "delugenet218_cifar",      depths=(12, 24, 36),             paper=KUEN, params=9_981_738,  macs=1_019_054_592)
wide_delugenet146_cifar = variant(body, "wide_delugenet146_cifar", depths=(8,  16, 24), filters=56, paper=KUEN, params=20_150_658, macs=2_117_775_744)
# fmt: on

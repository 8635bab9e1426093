"""ZFNet: AlexNet with a smaller kernel and strides of 2 in its first layer.

[1] Zeiler 2013, arXiv:1311.2901, Figure 3

`zfnet_wide` is model (b) of Table 2, with 512, 1024 and 512 maps in the last three convolutions.

Departures from the paper:
- Figure 3 has 110, 55, 26, 13 and 6 rows for a 224x224 image. They follow from 1 pixel of padding before the first
  convolution and from poolings whose last window may overlap the edge.
- "Contrast normalised across feature maps", after pooling, is Krizhevsky's local response normalisation.
- [1] rescales filters whose root mean square exceeds 0.1 during training. That is not part of the network.
- Image sizes, initialisation and dropout are those of `kapps.cnn.alexnet`.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.alexnet import CEIL_MODE, pool
from kapps.layers import conv_relu, max_pool

ZEILER = "arXiv:1311.2901"


@image_family(minimum=47, any_size=False, head=partial(heads.flatten_dense, grid=(6, 6)))
def body(x, *, filters, norm=(2.0, 5, 1e-4), norm_first=False):
    """Builds ZFNet.

    Args:
        filters: of the five convolutions.
        norm: k, size and alpha of local response normalisation, or None.
        norm_first: whether normalisation precedes pooling.
    """
    x = conv_relu(x, filters[0], 7, strides=2, padding=1, name="stem_conv")
    x = pool(x, norm=norm, norm_first=norm_first, level=2)
    x = conv_relu(x, filters[1], 5, strides=2, padding="valid", name="level3_conv1")
    x = pool(x, norm=norm, norm_first=norm_first, level=4)
    for i, width in enumerate(filters[2:], start=1):
        x = conv_relu(x, width, 3, name=f"level4_conv{i}")
    return max_pool(x, 3, padding=CEIL_MODE, name="level5_pool")


# fmt: off
#                                                                                                trainable parameters and multiply-accumulates
zfnet      = variant(body, "zfnet",      filters=(96, 256, 384, 384, 256),  paper=ZEILER, params=62_357_608, macs=1_168_032_896)
zfnet_wide = variant(body, "zfnet_wide", filters=(96, 256, 512, 1024, 512), paper=ZEILER, params=107_627_624, macs=2_476_704_896)
# fmt: on

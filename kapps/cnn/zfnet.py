"""ZFNet: AlexNet with a finer first layer, found by looking at what AlexNet's layers see.

[1] Zeiler 2013, arXiv:1311.2901, Figure 3

`zfnet_wide` is model (b) of Table 2, with 512, 1024 and 512 maps in the last three.

Departures from the paper:
- Figure 3 has 110, 55, 26, 13 and 6 rows of a 224x224 image, which 1 pixel of padding before the first convolution and
  windows of the poolings that overlap the end give.
- "Contrast normalised across feature maps", after pooling, is Krizhevsky's local response normalisation.
- [1] rescales filters whose root mean square exceeds 0.1 in training, which is no part of a network.
- Sizes, initialisation and dropout as in `kapps.cnn.alexnet`.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.alexnet import pool
from kapps.layers import conv_relu

ZEILER = "arXiv:1311.2901"


@image_family(minimum=47, any_size=False, head=partial(heads.flatten_dense, grid=(6, 6)))
def body(x, *, filters, norm=(2.0, 5, 1e-4), norm_first=False):
    """Five convolutions of `filters`; `norm` is k, size and alpha, after pooling unless `norm_first`."""
    pooling = partial(pool, norm=norm, norm_first=norm_first)
    x = conv_relu(x, filters[0], 7, strides=2, padding=1, name="stem_conv")
    x = pooling(x, level=2)
    x = conv_relu(x, filters[1], 5, strides=2, padding="valid", name="level3_conv1")
    x = pooling(x, level=4)
    for i, width in enumerate(filters[2:], start=1):
        x = conv_relu(x, width, 3, name=f"level4_conv{i}")
    return pool(x, level=5)


# fmt: off
#                                                                                                trainable parameters and multiply-accumulates
zfnet      = variant(body, "zfnet",      filters=(96, 256, 384, 384, 256),  paper=ZEILER, params=62_357_608, macs=1_168_032_896)
zfnet_wide = variant(body, "zfnet_wide", filters=(96, 256, 512, 1024, 512), paper=ZEILER, params=107_627_624, macs=2_476_704_896)
# fmt: on

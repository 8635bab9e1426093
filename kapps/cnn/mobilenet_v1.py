"""MobileNet V1: a 3x3 of each channel by itself, then a 1x1 across channels, 13 times.

[1] Howard 2017, arXiv:1704.04861, Table 1

The resolution multiplier of [1] is the input's shape: 224, 192, 160 or 128 pixels, or any other.

Departures from the paper:
- ReLUs end at 6, as in the authors' code, timm and Keras Applications; [1] says ReLU.
- The last 3x3 has stride 1: Table 1 prints 2, and no change of its 7x7 map.
- Strided convolutions are padded on every side, as timm pads them; the authors' code, and Keras Applications after it,
  pad an even map on the right and bottom alone.
- The batch norm is that of kapps.layers (epsilon 1e-5), as timm's, not the authors' code's (1e-3).
"""

from kapps.builders import image_family, variant
from kapps.cards import INCEPTION
from kapps.layers import conv_bn, depthwise_bn

HOWARD = "arXiv:1704.04861"

# Table 1 of [1]: the level of a row's pairs, their channels, and how many there are; the first of a new level strides.
ROWS = ((1, 64, 1), (2, 128, 2), (3, 256, 2), (4, 512, 6), (5, 1024, 2))


def separable(x, filters, *, strides, name):
    """3x3 of each channel, and 1x1 to `filters`, each with a batch norm and a ReLU6."""
    x = depthwise_bn(x, 3, strides=strides, activation="relu6", name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, activation="relu6", name=f"{name}_pointwise")


@image_family(minimum=32, preprocessing=INCEPTION)
def body(x, *, width=1.0):
    """MobileNet V1 with `width` (alpha of [1]) times the channels."""
    x = conv_bn(x, int(32 * width), 3, strides=2, activation="relu6", name="stem_conv")
    for level, filters, depth in ROWS:
        for i in range(depth):
            strides = 2 if level > 1 and i == 0 else 1
            name = f"level{level}_block{i + 1}"
            x = separable(x, int(filters * width), strides=strides, name=name)
    return x


# fmt: off
#                                                                           alpha                     trainable parameters and multiply-accumulates
mobilenet_v1_025 = variant(body, "mobilenet_v1_025", width=0.25, paper=HOWARD, params=470_072, macs=41_030_272)
mobilenet_v1_050 = variant(body, "mobilenet_v1_050", width=0.50, paper=HOWARD, params=1_331_592, macs=149_497_088)
mobilenet_v1_075 = variant(body, "mobilenet_v1_075", width=0.75, paper=HOWARD, params=2_585_560, macs=325_400_448)
mobilenet_v1     = variant(body, "mobilenet_v1",     width=1.00, paper=HOWARD, params=4_231_976, macs=568_740_352)
# fmt: on

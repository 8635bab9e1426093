"""MobileNet V2: residual blocks that are wide inside and narrow, without an activation, at their ends.

[1] Sandler 2018, arXiv:1801.04381

Departures from the paper:
- Widths are rounded to multiples of 8 that lose at most a tenth, as the authors' code, torchvision and timm do.
- Strided convolutions are padded on every side, as torchvision and timm pad them; the authors' code, and Keras
  Applications after it, pad an even map on the right and bottom alone.
- The batch norm is that of kapps.layers (epsilon 1e-5), not the authors' code's (1e-3).
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import conv_bn, depthwise_bn

SANDLER = "arXiv:1801.04381"

# Table 2 of [1], its columns t, c, n and s, with the level that each row stands at.
ROWS = (
    (1, 1, 16, 1, 1),
    (2, 6, 24, 2, 2),
    (3, 6, 32, 3, 2),
    (4, 6, 64, 4, 2),
    (4, 6, 96, 3, 1),
    (5, 6, 160, 3, 2),
    (5, 6, 320, 1, 1),
)


def rounded(channels):
    """The multiple of 8 nearest to `channels`, or the next where that is less than nine tenths of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def bottleneck(x, filters, *, expansion, strides, name):
    """1x1 to `expansion` times as many channels, 3x3 of each by itself, and 1x1 down without activation."""
    y = x
    if expansion > 1:
        wide = expansion * x.shape[-1]
        y = conv_bn(y, wide, 1, activation="relu6", name=f"{name}_expand")
    y = depthwise_bn(y, 3, strides=strides, activation="relu6", name=f"{name}_depthwise")
    y = conv_bn(y, filters, 1, name=f"{name}_project")
    if strides > 1 or x.shape[-1] != filters:
        return y
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(minimum=32)
def body(x, *, width=1.0):
    """MobileNet V2 with `width` (alpha of [1]) times the channels; fewer than 1 leave the last layer as it is."""
    x = conv_bn(x, rounded(32 * width), 3, strides=2, activation="relu6", name="stem_conv")
    blocks = dict.fromkeys(range(1, 6), 0)
    for level, t, c, n, s in ROWS:
        for i in range(n):
            blocks[level] += 1
            x = bottleneck(
                x, rounded(c * width), expansion=t, strides=s if i == 0 else 1,
                name=f"level{level}_block{blocks[level]}",
            )  # fmt: skip
    return conv_bn(x, rounded(1280 * max(width, 1.0)), 1, activation="relu6", name="level5_conv")


# fmt: off
#                                                                          alpha                      trainable parameters and multiply-accumulates
mobilenet_v2_035 = variant(body, "mobilenet_v2_035", width=0.35, paper=SANDLER, params=1_677_128, macs=59_285_808)
mobilenet_v2_050 = variant(body, "mobilenet_v2_050", width=0.50, paper=SANDLER, params=1_968_680, macs=97_131_840)
mobilenet_v2_075 = variant(body, "mobilenet_v2_075", width=0.75, paper=SANDLER, params=2_636_424, macs=209_069_792)
mobilenet_v2     = variant(body, "mobilenet_v2",     width=1.00, paper=SANDLER, params=3_504_872, macs=300_774_272)
mobilenet_v2_130 = variant(body, "mobilenet_v2_130", width=1.30, paper=SANDLER, params=5_386_792, macs=509_374_560)
mobilenet_v2_140 = variant(body, "mobilenet_v2_140", width=1.40, paper=SANDLER, params=6_108_776, macs=582_195_824)
# fmt: on

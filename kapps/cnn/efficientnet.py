"""EfficientNet.

[1] Tan 2019, arXiv:1905.11946, and its authors' code

Table 1 of [1] is B0. Compound scaling, equation 3 of [1], multiplies depth by alpha^phi, width by beta^phi and the
image's side by gamma^phi, with alpha = 1.2, beta = 1.1 and gamma = 1.15: B1 to B7 have phi = 0.5, 1, 2, 3, 4, 5, 6.
The table below has the coefficients of the authors' code, which are rounded. From that code come also the image sizes,
the dropout, the rounding of filters and repeats, the SE blocks with a quarter of a block's input channels, and batch
norm with momentum 0.99 and epsilon 1e-3.

Strided convolutions are padded as TensorFlow's SAME, as in the authors' code. With their weights (timm's
`tf_efficientnet_b*`) the networks compute the same values, and an exported graph needs no padding layers. With
`padding="symmetric"` the networks are timm's `efficientnet_b*`, with padding on every side, epsilon 1e-5 and their own
weights.
"""

import dataclasses
import math
from functools import partial

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.layers import (
    conv_bn,
    inverted_residual,
    make_divisible,
    published_epsilon,
    squeeze_excite,
)
from kapps.preprocessing import IMAGENET

TAN = "arXiv:1905.11946"

# fmt: off
TABLE_1 = (
    # stages 2 to 8: expansion of MBConv, kernel size, strides, channels, layers
    (1, 3, 1,  16, 1),
    (6, 3, 2,  24, 2),
    (6, 5, 2,  40, 2),
    (6, 3, 2,  80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
# fmt: on


def norm():
    """Returns momentum and epsilon of the batch norms."""
    return {"momentum": 0.99, "epsilon": published_epsilon()}


def conv_bn_silu(x, filters, kernel_size, *, strides=1, name):
    """Convolution, batch norm and SiLU."""
    return conv_bn(
        x, filters, kernel_size, strides=strides, activation="silu", **norm(), name=name
    )  # fmt: skip


def round_filters(filters, width_coefficient):
    """Scales channels, to a multiple of 8."""
    return make_divisible(filters * width_coefficient)


def round_repeats(repeats, depth_coefficient):
    """Scales the layers of a stage, rounded up."""
    return math.ceil(repeats * depth_coefficient)


def mbconv(x, filters, kernel_size, *, expansion, strides, drop_rate, name):
    """MBConv: an inverted residual with an SE block.

    Where x is added, training drops the branch for a fraction `drop_rate` of the images: stochastic depth (Huang 2016,
    arXiv:1603.09382).
    """
    squeeze = partial(squeeze_excite, inner=x.shape[-1] // 4, activation="silu")
    return inverted_residual(
        x, filters, kernel_size, expanded=expansion * x.shape[-1], strides=strides,
        activation="silu", squeeze=squeeze, drop_rate=drop_rate, **norm(), name=name,
    )  # fmt: skip


@image_family(
    minimum=32, padding="same", head=partial(heads.global_average_pooling, dropout=0.2)
)  # fmt: skip
def body(x, *, width_coefficient=1.0, depth_coefficient=1.0, drop_rate=0.2):
    """Builds EfficientNet.

    Args:
        width_coefficient: multiplies the channels of B0.
        depth_coefficient: multiplies the layers of B0.
        drop_rate: stochastic depth rises linearly from 0 at the first block to this rate after the last.
    """
    stem = round_filters(32, width_coefficient)
    x = conv_bn_silu(x, stem, 3, strides=2, name="stem_conv")
    depths = [round_repeats(repeats, depth_coefficient) for *_, repeats in TABLE_1]
    rows = [row for row, depth in zip(TABLE_1, depths, strict=True) for _ in range(depth)]
    blocks = levels(depths, first=1, strides=[strides for _, _, strides, _, _ in TABLE_1])
    for i, (row, (_, strides, name)) in enumerate(zip(rows, blocks, strict=True)):
        expansion, kernel_size, _, filters, _ = row
        x = mbconv(
            x, round_filters(filters, width_coefficient), kernel_size, expansion=expansion,
            strides=strides, drop_rate=drop_rate * i / len(rows), name=name,
        )  # fmt: skip
    return conv_bn_silu(x, round_filters(1280, width_coefficient), 1, name="level5_conv")


def image(size, crop, base=IMAGENET):
    """Returns the preprocessing to `size` pixels a side; `crop` is the fraction of the image that the crop keeps."""
    return dataclasses.replace(base, size=(size, size), crop=crop, interpolation="bicubic")


def head(dropout):
    """Returns the head with global average pooling and a row's dropout."""
    return partial(heads.global_average_pooling, dropout=dropout)


# fmt: off
#                                                   width                  depth                   size, crop                         dropout                 trainable parameters and multiply-accumulates
efficientnet_b0 = variant(body, "efficientnet_b0", width_coefficient=1.0, depth_coefficient=1.0, preprocessing=image(224, 0.875), head=head(0.2), paper=TAN, params=5_288_548,  macs=385_814_752)
efficientnet_b1 = variant(body, "efficientnet_b1", width_coefficient=1.0, depth_coefficient=1.1, preprocessing=image(240, 0.882), head=head(0.2), paper=TAN, params=7_794_184,  macs=686_802_832)
efficientnet_b2 = variant(body, "efficientnet_b2", width_coefficient=1.1, depth_coefficient=1.2, preprocessing=image(260, 0.890), head=head(0.3), paper=TAN, params=9_109_994,  macs=993_561_872)
efficientnet_b3 = variant(body, "efficientnet_b3", width_coefficient=1.2, depth_coefficient=1.4, preprocessing=image(300, 0.904), head=head(0.3), paper=TAN, params=12_233_232, macs=1_827_141_392)
efficientnet_b4 = variant(body, "efficientnet_b4", width_coefficient=1.4, depth_coefficient=1.8, preprocessing=image(380, 0.922), head=head(0.4), paper=TAN, params=19_341_616, macs=4_393_771_024)
efficientnet_b5 = variant(body, "efficientnet_b5", width_coefficient=1.6, depth_coefficient=2.2, preprocessing=image(456, 0.934), head=head(0.4), paper=TAN, params=30_389_784, macs=10_266_384_752)
efficientnet_b6 = variant(body, "efficientnet_b6", width_coefficient=1.8, depth_coefficient=2.6, preprocessing=image(528, 0.942), head=head(0.5), paper=TAN, params=43_040_704, macs=19_067_593_536)
efficientnet_b7 = variant(body, "efficientnet_b7", width_coefficient=2.0, depth_coefficient=3.1, preprocessing=image(600, 0.949), head=head(0.5), paper=TAN, params=66_347_960, macs=37_745_884_192)
# fmt: on

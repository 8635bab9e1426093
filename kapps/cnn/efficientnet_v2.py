"""EfficientNet V2: fused MBConv blocks in the first stages, where depthwise convolutions are slow.

[1] Tan 2021, arXiv:2104.00298, and its authors' code

Table 4 of [1] is S. M, L, XL and B0 to B3 are from the authors' code, and so are the dropout of the head and batch norms
with momentum 0.9 and epsilon 1e-3. The input has the size of the evaluation.

Departure from the authors' code:
- Pixels from 0 to 255 become [-1, 1] in S to XL, as in timm; the authors' code and Keras Applications divide by 128.

Strided convolutions are padded as TensorFlow's SAME, as in the authors' code, Keras Applications and timm's
`tf_efficientnetv2_*`. torchvision's networks pad on every side: `padding="symmetric"`.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.cnn.efficientnet import head, image, round_repeats
from kapps.layers import (
    add_where_equal,
    conv_bn,
    inverted_residual,
    make_divisible,
    squeeze_excite,
)
from kapps.preprocessing import IMAGENET, INCEPTION

TAN = "arXiv:2104.00298"

# fmt: off
# Stages: block, expansion, strides, channels, layers
B0 = (
    ("fused",  1, 1,  16, 1),
    ("fused",  4, 2,  32, 2),
    ("fused",  4, 2,  48, 2),
    ("mbconv", 4, 2,  96, 3),
    ("mbconv", 6, 1, 112, 5),
    ("mbconv", 6, 2, 192, 8),
)
S = (
    ("fused",  1, 1,  24, 2),
    ("fused",  4, 2,  48, 4),
    ("fused",  4, 2,  64, 4),
    ("mbconv", 4, 2, 128, 6),
    ("mbconv", 6, 1, 160, 9),
    ("mbconv", 6, 2, 256, 15),
)
M = (
    ("fused",  1, 1,  24, 3),
    ("fused",  4, 2,  48, 5),
    ("fused",  4, 2,  80, 5),
    ("mbconv", 4, 2, 160, 7),
    ("mbconv", 6, 1, 176, 14),
    ("mbconv", 6, 2, 304, 18),
    ("mbconv", 6, 1, 512, 5),
)
L = (
    ("fused",  1, 1,  32, 4),
    ("fused",  4, 2,  64, 7),
    ("fused",  4, 2,  96, 7),
    ("mbconv", 4, 2, 192, 10),
    ("mbconv", 6, 1, 224, 19),
    ("mbconv", 6, 2, 384, 25),
    ("mbconv", 6, 1, 640, 7),
)
XL = (
    ("fused",  1, 1,  32, 4),
    ("fused",  4, 2,  64, 8),
    ("fused",  4, 2,  96, 8),
    ("mbconv", 4, 2, 192, 16),
    ("mbconv", 6, 1, 256, 24),
    ("mbconv", 6, 2, 512, 32),
    ("mbconv", 6, 1, 640, 8),
)
# fmt: on

conv_bn_silu = partial(conv_bn, activation="silu", epsilon=1e-3)


def mbconv(x, filters, *, expansion, strides, drop_rate, name):
    """MBConv: an inverted residual whose SE block has a quarter of the block's input channels."""
    squeeze = partial(squeeze_excite, inner=x.shape[-1] // 4, activation="silu")
    return inverted_residual(
        x, filters, expanded=expansion * x.shape[-1], strides=strides, activation="silu",
        epsilon=1e-3, squeeze=squeeze, drop_rate=drop_rate, name=name,
    )  # fmt: skip


def fused_mbconv(x, filters, *, expansion, strides, drop_rate, name):
    """Fused-MBConv: a 3x3 convolution in place of the first 1x1 and the depthwise one; one 3x3 without expansion."""
    if expansion == 1:
        y = conv_bn_silu(x, filters, 3, strides=strides, name=f"{name}_conv")
    else:
        y = conv_bn_silu(x, expansion * x.shape[-1], 3, strides=strides, name=f"{name}_expand")
        y = conv_bn(y, filters, 1, epsilon=1e-3, name=f"{name}_project")
    return add_where_equal(x, y, strides=strides, drop_rate=drop_rate, name=name)


BLOCKS = {"fused": fused_mbconv, "mbconv": mbconv}


def round_filters(filters, width_coefficient):
    """Scales channels, to the nearest multiple of 8."""
    return make_divisible(filters * width_coefficient, least=0)


@image_family(
    minimum=32, padding="same", head=partial(heads.global_average_pooling, dropout=0.2)
)  # fmt: skip
def body(x, *, stages, stem=32, width_coefficient=1.0, depth_coefficient=1.0, drop_rate=0.2):
    """Builds EfficientNet V2.

    Args:
        stages: (block, expansion, strides, channels, layers) of each stage, where block is "fused" or "mbconv".
        stem: channels of the first convolution.
        width_coefficient: multiplies the channels.
        depth_coefficient: multiplies the layers.
        drop_rate: stochastic depth rises linearly from 0 at the first block to this rate after the last.
    """
    x = conv_bn_silu(x, round_filters(stem, width_coefficient), 3, strides=2, name="stem_conv")
    depths = [round_repeats(repeats, depth_coefficient) for *_, repeats in stages]
    rows = [row for row, depth in zip(stages, depths, strict=True) for _ in range(depth)]
    blocks = levels(depths, first=1, strides=[strides for _, _, strides, _, _ in stages])
    for i, (row, (_, strides, name)) in enumerate(zip(rows, blocks, strict=True)):
        block, expansion, _, filters, _ = row
        x = BLOCKS[block](
            x, round_filters(filters, width_coefficient), expansion=expansion, strides=strides,
            drop_rate=drop_rate * i / len(rows), name=name,
        )  # fmt: skip
    return conv_bn_silu(x, round_filters(1280, width_coefficient), 1, name="level5_conv")


# fmt: off
#                                                                   width                  depth                    size, crop                                    dropout                    trainable parameters and multiply-accumulates
efficientnet_v2_b0 = variant(body, "efficientnet_v2_b0", stages=B0, width_coefficient=1.0, depth_coefficient=1.0,   preprocessing=image(224, 0.875, IMAGENET),  head=head(0.2), paper=TAN, params=7_139_704,   macs=718_086_176)
efficientnet_v2_b1 = variant(body, "efficientnet_v2_b1", stages=B0, width_coefficient=1.0, depth_coefficient=1.1,   preprocessing=image(240, 0.882, IMAGENET),  head=head(0.2), paper=TAN, params=8_141_052,   macs=1_196_819_360)
efficientnet_v2_b2 = variant(body, "efficientnet_v2_b2", stages=B0, width_coefficient=1.1, depth_coefficient=1.2,   preprocessing=image(260, 0.890, IMAGENET),  head=head(0.3), paper=TAN, params=10_096_086,  macs=1_697_542_832)
efficientnet_v2_b3 = variant(body, "efficientnet_v2_b3", stages=B0, width_coefficient=1.2, depth_coefficient=1.4,   preprocessing=image(300, 0.904, IMAGENET),  head=head(0.3), paper=TAN, params=14_358_406,  macs=3_011_458_816)
efficientnet_v2_s  = variant(body, "efficientnet_v2_s",  stages=S,  stem=24,                                        preprocessing=image(384, 1.000, INCEPTION), head=head(0.2), paper=TAN, params=21_458_488,  macs=8_365_617_152)
efficientnet_v2_m  = variant(body, "efficientnet_v2_m",  stages=M,  stem=24,                                        preprocessing=image(480, 1.000, INCEPTION), head=head(0.3), paper=TAN, params=54_139_356,  macs=24_582_460_384)
efficientnet_v2_l  = variant(body, "efficientnet_v2_l",  stages=L,  stem=32,                                        preprocessing=image(480, 1.000, INCEPTION), head=head(0.4), paper=TAN, params=118_515_272, macs=56_079_699_008)
efficientnet_v2_xl = variant(body, "efficientnet_v2_xl", stages=XL, stem=32,                                        preprocessing=image(512, 1.000, INCEPTION), head=head(0.4), paper=TAN, params=208_119_808, macs=93_353_451_520)
# fmt: on

"""MnasNet: a network for phones whose blocks were searched for accuracy and latency.

[1] Tan 2018, arXiv:1807.11626, and its authors' code

A1 is the network of figure 7 of [1]; its SE blocks have a quarter of a block's input channels. B1, without SE blocks, and
the small network, without dropout, are from the authors' code.

Departures from the paper:
- Widths are rounded to multiples of 8, and at most a tenth lower, as in the authors' code.
- The first block of the small network is added to its input, as in timm and pytorchcv. The authors' code does not add
  it, since its table says that the block has 16 input channels; it has 8.
- Batch norms have momentum 0.9, as in all families.

Strided convolutions are padded as TensorFlow's SAME, as in the authors' code, and batch norms have its epsilon, 1e-3.
The networks of torchvision, timm and pytorchcv pad on every side and have epsilon 1e-5: `padding="symmetric"`.
"""

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

TAN = "arXiv:1807.11626"

# fmt: off
# Stages: expansion, kernel size, strides, channels, layers, SE
A1 = (
    (1, 3, 1,  16, 1, False),
    (6, 3, 2,  24, 2, False),
    (3, 5, 2,  40, 3, True),
    (6, 3, 2,  80, 4, False),
    (6, 3, 1, 112, 2, True),
    (6, 5, 2, 160, 3, True),
    (6, 3, 1, 320, 1, False),
)
B1 = (
    (1, 3, 1,  16, 1, False),
    (3, 3, 2,  24, 3, False),
    (3, 5, 2,  40, 3, False),
    (6, 5, 2,  80, 3, False),
    (6, 3, 1,  96, 2, False),
    (6, 5, 2, 192, 4, False),
    (6, 3, 1, 320, 1, False),
)
SMALL = (
    (1, 3, 1,   8, 1, False),
    (3, 3, 2,  16, 1, False),
    (6, 3, 2,  16, 2, False),
    (6, 5, 2,  32, 4, True),
    (6, 3, 1,  32, 3, True),
    (6, 5, 2,  88, 3, True),
    (6, 3, 1, 144, 1, False),
)
# fmt: on


@image_family(
    minimum=32, padding="same", head=partial(heads.global_average_pooling, dropout=0.2)
)  # fmt: skip
def body(x, *, stages, width_multiplier=1.0, stem=32):
    """Builds MnasNet.

    Args:
        stages: (expansion, kernel size, strides, channels, layers, SE) of each stage.
        width_multiplier: multiplies the channels of all layers but the last.
        stem: channels of the first convolution.
    """
    norm = {"activation": "relu", "epsilon": published_epsilon()}
    x = conv_bn(x, make_divisible(stem * width_multiplier), 3, strides=2, **norm, name="stem_conv")
    rows = [row for row in stages for _ in range(row[4])]
    blocks = levels([row[4] for row in stages], first=1, strides=[row[2] for row in stages])
    for row, (_, strides, name) in zip(rows, blocks, strict=True):
        expansion, kernel_size, _, filters, _, squeezed = row
        squeeze = partial(squeeze_excite, inner=x.shape[-1] // 4)
        x = inverted_residual(
            x, make_divisible(filters * width_multiplier), kernel_size,
            expanded=expansion * x.shape[-1], strides=strides, **norm,
            squeeze=squeeze if squeezed else None, name=name,
        )  # fmt: skip
    return conv_bn(x, 1280, 1, **norm, name="level5_conv")


# fmt: off
#                                                              alpha                             trainable parameters and multiply-accumulates
mnasnet_a1_035 = variant(body, "mnasnet_a1_035", stages=A1,    width_multiplier=0.35, paper=TAN, params=1_747_018, macs=61_681_920)
mnasnet_a1_050 = variant(body, "mnasnet_a1_050", stages=A1,    width_multiplier=0.50, paper=TAN, params=2_082_006, macs=103_162_992)
mnasnet_a1_075 = variant(body, "mnasnet_a1_075", stages=A1,    width_multiplier=0.75, paper=TAN, params=2_912_278, macs=223_448_480)
mnasnet_a1     = variant(body, "mnasnet_a1",     stages=A1,    width_multiplier=1.00, paper=TAN, params=3_887_038, macs=311_579_072)
mnasnet_a1_140 = variant(body, "mnasnet_a1_140", stages=A1,    width_multiplier=1.40, paper=TAN, params=6_105_992, macs=586_317_952)
mnasnet_b1_050 = variant(body, "mnasnet_b1_050", stages=B1,    width_multiplier=0.50, paper=TAN, params=2_218_512, macs=104_455_968)
mnasnet_b1_075 = variant(body, "mnasnet_b1_075", stages=B1,    width_multiplier=0.75, paper=TAN, params=3_170_208, macs=215_493_104)
mnasnet_b1     = variant(body, "mnasnet_b1",     stages=B1,    width_multiplier=1.00, paper=TAN, params=4_383_312, macs=314_415_872)
mnasnet_b1_130 = variant(body, "mnasnet_b1_130", stages=B1,    width_multiplier=1.30, paper=TAN, params=6_282_256, macs=526_362_432)
mnasnet_b1_140 = variant(body, "mnasnet_b1_140", stages=B1,    width_multiplier=1.40, paper=TAN, params=7_115_728, macs=588_799_408)
mnasnet_small  = variant(body, "mnasnet_small",  stages=SMALL, width_multiplier=1.00, stem=8, head=heads.global_average_pooling, paper=TAN, params=2_030_264, macs=68_339_184)
# fmt: on

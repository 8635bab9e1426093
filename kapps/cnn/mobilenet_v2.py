"""MobileNet V2.

[1] Sandler 2018, arXiv:1801.04381

Departures from the paper:
- Widths are rounded to multiples of 8, and at most a tenth lower, as in the authors' code, torchvision and timm.
- Batch norms have momentum 0.9, as in all families.

Strided convolutions are padded as TensorFlow's SAME, as in the authors' code and Keras Applications, and batch norms have
their epsilon, 1e-3. The networks of torchvision and timm pad on every side and have epsilon 1e-5:
`padding="symmetric"`.
"""

from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn, inverted_residual, make_divisible, published_epsilon

SANDLER = "arXiv:1801.04381"

# fmt: off
TABLE_2 = (
    # t, c, n, s
    (1,  16, 1, 1),
    (6,  24, 2, 2),
    (6,  32, 3, 2),
    (6,  64, 4, 2),
    (6,  96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# fmt: on


@image_family(minimum=32, padding="same")
def body(x, *, width_multiplier=1.0):
    """Builds MobileNet V2; `width_multiplier` is alpha of [1]. The last layer is not narrower than 1280."""
    relu6 = {"activation": "relu6", "epsilon": published_epsilon()}
    x = conv_bn(x, make_divisible(32 * width_multiplier), 3, strides=2, **relu6, name="stem_conv")
    rows = [(t, c) for t, c, n, _ in TABLE_2 for _ in range(n)]
    blocks = levels([n for *_, n, _ in TABLE_2], first=1, strides=[s for *_, s in TABLE_2])
    for (expansion, filters), (_, strides, name) in zip(rows, blocks, strict=True):
        filters = make_divisible(filters * width_multiplier)
        x = inverted_residual(
            x, filters, expanded=expansion * x.shape[-1], strides=strides, **relu6, name=name
        )
    last = make_divisible(1280 * max(width_multiplier, 1.0))
    return conv_bn(x, last, 1, **relu6, name="level5_conv")


# fmt: off
#                                                                          alpha                      trainable parameters and multiply-accumulates
mobilenet_v2_035 = variant(body, "mobilenet_v2_035", width_multiplier=0.35, paper=SANDLER, params=1_677_128, macs=59_285_808)
mobilenet_v2_050 = variant(body, "mobilenet_v2_050", width_multiplier=0.50, paper=SANDLER, params=1_968_680, macs=97_131_840)
mobilenet_v2_075 = variant(body, "mobilenet_v2_075", width_multiplier=0.75, paper=SANDLER, params=2_636_424, macs=209_069_792)
mobilenet_v2     = variant(body, "mobilenet_v2",     width_multiplier=1.00, paper=SANDLER, params=3_504_872, macs=300_774_272)
mobilenet_v2_130 = variant(body, "mobilenet_v2_130", width_multiplier=1.30, paper=SANDLER, params=5_386_792, macs=509_374_560)
mobilenet_v2_140 = variant(body, "mobilenet_v2_140", width_multiplier=1.40, paper=SANDLER, params=6_108_776, macs=582_195_824)
# fmt: on

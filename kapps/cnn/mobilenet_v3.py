"""MobileNet V3: inverted residuals with SE blocks and hard swish, from a search for phones.

[1] Howard 2019, arXiv:1905.02244, and its authors' code

The minimalistic networks are from the authors' code: no SE blocks, 3x3 kernels, ReLU.

Departures from the paper:
- Widths are rounded to multiples of 8, and at most a tenth lower, as in the authors' code.
- A multiplier does not change the first convolution, and only widens the hidden dense layer, as in Keras Applications.
  The authors' code multiplies the first convolution too; timm does so from 0.75 on.
- Batch norms have momentum 0.9, as in all families.

Table 2 of [1] has 1024 hidden units. The first version of [1] has 1280, and so do pytorchcv's networks, whose hidden
layer has no biases.

Strided convolutions are padded as TensorFlow's SAME, as in the authors' code, Keras Applications and timm's
`tf_mobilenetv3_*`, and batch norms have their epsilon, 1e-3. torchvision's networks have this epsilon and pad on every
side: `padding="symmetric"`. timm's other networks pad so too, and have `epsilon=1e-5`; 0.50 is one of them.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn, inverted_residual, make_divisible, squeeze_excite
from kapps.preprocessing import INCEPTION

HOWARD = "arXiv:1905.02244"

# fmt: off
TABLE_1 = (
    # kernel size, expanded channels, channels, SE, activation, strides: Large
    (3,  16,  16, False, "relu",      1),
    (3,  64,  24, False, "relu",      2),
    (3,  72,  24, False, "relu",      1),
    (5,  72,  40, True,  "relu",      2),
    (5, 120,  40, True,  "relu",      1),
    (5, 120,  40, True,  "relu",      1),
    (3, 240,  80, False, "hard_silu", 2),
    (3, 200,  80, False, "hard_silu", 1),
    (3, 184,  80, False, "hard_silu", 1),
    (3, 184,  80, False, "hard_silu", 1),
    (3, 480, 112, True,  "hard_silu", 1),
    (3, 672, 112, True,  "hard_silu", 1),
    (5, 672, 160, True,  "hard_silu", 2),
    (5, 960, 160, True,  "hard_silu", 1),
    (5, 960, 160, True,  "hard_silu", 1),
)
TABLE_2 = (
    # kernel size, expanded channels, channels, SE, activation, strides: Small
    (3,  16,  16, True,  "relu",      2),
    (3,  72,  24, False, "relu",      2),
    (3,  88,  24, False, "relu",      1),
    (5,  96,  40, True,  "hard_silu", 2),
    (5, 240,  40, True,  "hard_silu", 1),
    (5, 240,  40, True,  "hard_silu", 1),
    (5, 120,  48, True,  "hard_silu", 1),
    (5, 144,  48, True,  "hard_silu", 1),
    (5, 288,  96, True,  "hard_silu", 2),
    (5, 576,  96, True,  "hard_silu", 1),
    (5, 576,  96, True,  "hard_silu", 1),
)
# fmt: on


def bneck(x, filters, kernel_size, *, expanded, squeezed, strides, activation, epsilon, name):
    """The block of [1]: an inverted residual. Its SE block has a quarter of the channels and a hard sigmoid."""
    squeeze = partial(squeeze_excite, inner=make_divisible(expanded / 4), gate="hard_sigmoid")
    return inverted_residual(
        x, filters, kernel_size, expanded=expanded, strides=strides, activation=activation,
        squeeze=squeeze if squeezed else None, epsilon=epsilon, name=name,
    )  # fmt: skip


def head(x, classes, activation, *, hidden=1280, hidden_activation="hard_silu"):
    """Global average pooling, a dense layer of `hidden` units, dropout and the classifier."""
    x = heads.pool(x, "avg")
    x = layers.Dense(hidden, activation=hidden_activation, name="head_dense1")(x)
    x = layers.Dropout(0.2, name="head_dropout")(x)
    return heads.classifier(x, classes, activation)


@image_family(minimum=32, padding="same", preprocessing=INCEPTION, head=head)
def body(x, *, blocks, width_multiplier=1.0, minimalistic=False, epsilon=1e-3):
    """Builds MobileNet V3.

    Args:
        blocks: (kernel size, expanded channels, channels, SE, activation, strides) of each block.
        width_multiplier: alpha of Keras Applications, which multiplies all channels but those of the first convolution.
        minimalistic: whether all kernels are 3x3, all activations ReLU, and there are no SE blocks.
        epsilon: of the batch norms.
    """
    hard_silu = "relu" if minimalistic else "hard_silu"
    norm = {"activation": hard_silu, "epsilon": epsilon}
    x = conv_bn(x, 16, 3, strides=2, **norm, name="stem_conv")
    inputs = 16  # channels of x in the table, before the multiplier
    strides = [row[-1] for row in blocks]
    first = strides[0]  # the stem is at level 1; strides of 2 begin level 2
    names = levels([1] * len(blocks), first=first, strides=strides)
    for row, (_, strides, name) in zip(blocks, names, strict=True):
        kernel_size, expanded, filters, squeezed, activation, _ = row
        x = bneck(
            x, make_divisible(filters * width_multiplier), 3 if minimalistic else kernel_size,
            expanded=make_divisible(x.shape[-1] * expanded / inputs),
            squeezed=squeezed and not minimalistic, strides=strides,
            activation="relu" if minimalistic else activation, epsilon=epsilon, name=name,
        )  # fmt: skip
        inputs = filters
    return conv_bn(x, make_divisible(6 * x.shape[-1]), 1, **norm, name="level5_conv")


# The heads of Small, of the multiplier 1.25, and of the minimalistic networks
small, large_125, small_125 = (partial(head, hidden=units) for units in (1024, 1600, 1280))
large_relu, small_relu = (partial(x, hidden_activation="relu") for x in (head, small))

# fmt: off
#                                                                                                  alpha                                                                     trainable parameters and multiply-accumulates
mobilenet_v3_large_035          = variant(body, "mobilenet_v3_large_035",          blocks=TABLE_1, width_multiplier=0.35,                                      paper=HOWARD, params=2_132_216,  macs=43_887_824)
mobilenet_v3_large_050          = variant(body, "mobilenet_v3_large_050",          blocks=TABLE_1, width_multiplier=0.50,                                      paper=HOWARD, params=2_689_904,  macs=73_663_088)
mobilenet_v3_large_075          = variant(body, "mobilenet_v3_large_075",          blocks=TABLE_1, width_multiplier=0.75,                                      paper=HOWARD, params=3_993_528,  macs=154_560_624)
mobilenet_v3_large              = variant(body, "mobilenet_v3_large",              blocks=TABLE_1, width_multiplier=1.00,                                      paper=HOWARD, params=5_483_032,  macs=216_589_760)
mobilenet_v3_large_125          = variant(body, "mobilenet_v3_large_125",          blocks=TABLE_1, width_multiplier=1.25, head=large_125,                      paper=HOWARD, params=8_255_784,  macs=349_904_800)
mobilenet_v3_large_minimalistic = variant(body, "mobilenet_v3_large_minimalistic", blocks=TABLE_1, width_multiplier=1.00, minimalistic=True, head=large_relu,  paper=HOWARD, params=3_924_288,  macs=209_136_704)
mobilenet_v3_small_035          = variant(body, "mobilenet_v3_small_035",          blocks=TABLE_2, width_multiplier=0.35, head=small,                          paper=HOWARD, params=1_350_344,  macs=15_931_232)
mobilenet_v3_small_050          = variant(body, "mobilenet_v3_small_050",          blocks=TABLE_2, width_multiplier=0.50, head=small, epsilon=1e-5,            paper=HOWARD, params=1_593_224,  macs=24_188_688)
mobilenet_v3_small_075          = variant(body, "mobilenet_v3_small_075",          blocks=TABLE_2, width_multiplier=0.75, head=small,                          paper=HOWARD, params=2_041_872,  macs=43_399_344)
mobilenet_v3_small              = variant(body, "mobilenet_v3_small",              blocks=TABLE_2, width_multiplier=1.00, head=small,                          paper=HOWARD, params=2_542_856,  macs=56_510_400)
mobilenet_v3_small_125          = variant(body, "mobilenet_v3_small_125",          blocks=TABLE_2, width_multiplier=1.25, head=small_125,                      paper=HOWARD, params=3_645_312,  macs=87_703_648)
mobilenet_v3_small_minimalistic = variant(body, "mobilenet_v3_small_minimalistic", blocks=TABLE_2, width_multiplier=1.00, minimalistic=True, head=small_relu,  paper=HOWARD, params=2_044_736,  macs=52_288_448)
# fmt: on

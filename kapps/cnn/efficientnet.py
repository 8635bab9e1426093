"""EfficientNet: MobileNet V2's blocks with squeeze-and-excitation, scaled in depth, width and resolution at once.

[1] Tan 2019, arXiv:1905.11946, and its authors' code

Table 1 of [1] is B0. Of B1 to B7 the paper gives the rule (its equation 3); what each multiplies by, its image's size,
the dropout and all that follows are the code's: widths rounded as MobileNet V2's are, depths rounded up, the SE block
a quarter of what enters the block, batch norm with momentum 0.99 and epsilon 1e-3.

Strided convolutions are padded as TensorFlow's SAME, as in the authors' code: their weights (timm's
`tf_efficientnet_b*`, Keras Applications) compute here what they compute there, and an exported graph needs no layer to
pad. torchvision's and timm's `efficientnet_b*` pad on every side: other networks, with weights of their own.
"""

import dataclasses
import math
from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import IMAGENET
from kapps.cnn.mobilenet_v2 import rounded
from kapps.layers import conv_bn, depthwise_bn, squeeze_excite

TAN = "arXiv:1905.11946"
NORM = {"momentum": 0.99, "epsilon": 1e-3}

# Table 1 of [1]: the level that each stage stands at, MBConv's expansion and kernel, channels, layers, strides.
STAGES = (
    (1, 1, 3, 16, 1, 1),
    (2, 6, 3, 24, 2, 2),
    (3, 6, 5, 40, 2, 2),
    (4, 6, 3, 80, 3, 2),
    (4, 6, 5, 112, 3, 1),
    (5, 6, 5, 192, 4, 2),
    (5, 6, 3, 320, 1, 1),
)


def mbconv(x, filters, kernel_size, *, expansion, strides, drop, name):
    """1x1 to `expansion` times as many channels, a convolution of each by itself, SE block, and 1x1 down.

    Where the shape stays x is added, and in training a share `drop` of the images goes without the rest: stochastic
    depth (Huang 2016, arXiv:1603.09382).
    """
    y, inner = x, x.shape[-1] // 4
    how = {"activation": "silu", **NORM}
    if expansion > 1:
        y = conv_bn(y, expansion * x.shape[-1], 1, **how, name=f"{name}_expand")
    y = depthwise_bn(
        y, kernel_size, strides=strides, padding="same", **how, name=f"{name}_depthwise"
    )
    y = squeeze_excite(y, inner, activation="silu", name=f"{name}_se")
    y = conv_bn(y, filters, 1, **NORM, name=f"{name}_project")
    if strides > 1 or x.shape[-1] != filters:
        return y
    if drop:
        y = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(minimum=32, head=partial(heads.global_average_pooling, dropout=0.2))
def body(x, *, width=1.0, repeats=1.0, drop=0.2):
    """EfficientNet with `width` times B0's channels and `repeats` times its layers.

    Stochastic depth rises from none at the first block to `drop` behind the last.
    """
    how = {"activation": "silu", **NORM}
    x = conv_bn(x, rounded(32 * width), 3, strides=2, padding="same", **how, name="stem_conv")
    depths = [math.ceil(repeats * n) for *_, n, _ in STAGES]
    done, blocks = 0, dict.fromkeys(range(1, 6), 0)
    for (level, expansion, kernel_size, filters, _, strides), depth in zip(
        STAGES, depths, strict=True
    ):
        for i in range(depth):
            blocks[level] += 1
            x = mbconv(
                x, rounded(filters * width), kernel_size, expansion=expansion,
                strides=strides if i == 0 else 1, drop=drop * done / sum(depths),
                name=f"level{level}_block{blocks[level]}",
            )  # fmt: skip
            done += 1
    return conv_bn(x, rounded(1280 * width), 1, **how, name="level5_conv")


def scaled(name, width, repeats, size, crop, dropout, **known):
    """Returns a row's builder: `size` pixels of which the evaluation crop is the share `crop`, and the head's dropout."""
    preprocessing = dataclasses.replace(
        IMAGENET, size=(size, size), crop=crop, interpolation="bicubic"
    )
    head = partial(heads.global_average_pooling, dropout=dropout)
    return variant(
        body, name, width=width, repeats=repeats, preprocessing=preprocessing, head=head,
        paper=TAN, **known,
    )  # fmt: skip


# fmt: off
#                                            width depth size  crop  dropout        trainable parameters and multiply-accumulates
efficientnet_b0 = scaled("efficientnet_b0", 1.0, 1.0, 224, 0.875, 0.2, params=5_288_548,  macs=385_814_752)
efficientnet_b1 = scaled("efficientnet_b1", 1.0, 1.1, 240, 0.882, 0.2, params=7_794_184,  macs=686_802_832)
efficientnet_b2 = scaled("efficientnet_b2", 1.1, 1.2, 260, 0.890, 0.3, params=9_109_994,  macs=993_561_872)
efficientnet_b3 = scaled("efficientnet_b3", 1.2, 1.4, 300, 0.904, 0.3, params=12_233_232, macs=1_827_141_392)
efficientnet_b4 = scaled("efficientnet_b4", 1.4, 1.8, 380, 0.922, 0.4, params=19_341_616, macs=4_393_771_024)
efficientnet_b5 = scaled("efficientnet_b5", 1.6, 2.2, 456, 0.934, 0.4, params=30_389_784, macs=10_266_384_752)
efficientnet_b6 = scaled("efficientnet_b6", 1.8, 2.6, 528, 0.942, 0.5, params=43_040_704, macs=19_067_593_536)
efficientnet_b7 = scaled("efficientnet_b7", 2.0, 3.1, 600, 0.949, 0.5, params=66_347_960, macs=37_745_884_192)
# fmt: on

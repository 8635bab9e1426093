"""Attention-augmented wide ResNet for CIFAR: attention is a part of the first 3x3 convolution of each block.

[1] Bello 2019, arXiv:1904.09925    [2] Zagoruyko 2016, arXiv:1605.07146

The blocks are those of [2], with batch norm and ReLU before each convolution, without dropout. The small network, the
ResNet-20 of He 2015 with blocks of [2], is not in [1]: it has four heads, and attention at the levels 1 and 2 only.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.cnn.attention_augmented import augmented_conv_bn
from kapps.layers import batch_norm, conv
from kapps.preprocessing import CIFAR10

BELLO = "arXiv:1904.09925"


def unit(x, filters, *, strides, attention, name):
    """x + F(relu(bn(x))), F an augmented 3x3 and a 3x3; a shortcut projects the activated features."""
    y = batch_norm(x, activation="relu", name=f"{name}_preact")
    if strides > 1 or x.shape[-1] != filters:
        x = conv(y, filters, 1, strides=strides, name=f"{name}_shortcut")
    y = augmented_conv_bn(y, filters, strides=strides, attention=attention, name=f"{name}_conv1")
    y = conv(y, filters, 3, name=f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10)
def body(
    x, *, n, filters, heads=8, kappa=0.2, upsilon=0.1, least_key_dim=20, first_level=0, resolution=32
):  # fmt: skip
    """Builds an attention-augmented wide ResNet for CIFAR.

    Args:
        n: number of blocks at each of the levels 0, 1 and 2.
        filters: filters at level 0; each next level has twice as many.
        heads: number of heads, N_h of [1].
        kappa: ratio of the channels of queries and keys to the filters.
        upsilon: ratio of the channels of attention to the filters.
        least_key_dim: least number of channels of a head's queries and keys.
        first_level: the first level with attention.
        resolution: height and width of the images that the positions are for; distances that are larger have the
            vectors of the largest one (see `kapps.layers.RelativeAttention2D`).
    """
    x = conv(x, 16, 3, name="stem_conv")
    for level, strides, name in levels((n, n, n), first=0):
        attention = None
        if level >= first_level:
            attention = dict(
                side=-(-resolution // 2**level), heads=heads, kappa=kappa, upsilon=upsilon,
                least_key_dim=least_key_dim,
            )  # fmt: skip
        x = unit(x, filters * 2**level, strides=strides, attention=attention, name=name)
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


SMALL = {"heads": 4, "kappa": 0.25, "upsilon": 0.25, "least_key_dim": 4, "first_level": 1}

# fmt: off
#                                                                                                    trainable parameters and multiply-accumulates
aa_resnet20_cifar = variant(body, "aa_resnet20_cifar", n=3, filters=16, **SMALL, paper=BELLO, params=256_426, macs=45_238_912)
aa_wrn28_10       = variant(body, "aa_wrn28_10",       n=4, filters=160,         paper=BELLO, params=36_254_970, macs=6_220_978_432)
# fmt: on

"""Attention-augmented ResNet: some channels of a 3x3 convolution are self-attention over the whole map.

[1] Bello 2019, arXiv:1904.09925

A convolution with F filters becomes one with F - d_v filters, next to attention with d_v channels. Its queries and keys have
d_k channels, kappa F, but at least 20 for each head; d_v is upsilon F. Both are rounded down to a multiple of the number of
heads. At levels 3, 4 and 5 attention takes part in the 3x3 of each bottleneck, or in the first 3x3 of each basic block.

A convolution with strides has queries, keys and values with the same strides.

Departure from the paper: attention at level 3 reads the whole map. `pool_first=True` averages it to half its height and
width, which takes less memory; the multiply-accumulates are then those of the paper.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.cnn.resnet import residual
from kapps.layers import (
    RelativeAttention2D,
    average_pool,
    batch_norm,
    conv,
    conv_bn,
    max_pool,
    resize_like,
)

BELLO = "arXiv:1904.09925"


def augmented_conv(
    x, filters, *, strides, side, heads=8, kappa=0.2, upsilon=0.1, least_key_dim=20, pool=False,
    name,
):  # fmt: skip
    """A 3x3 convolution whose last channels are attention; `side` is the height and width that it has positions for."""
    key_dim = max(int(kappa * filters) // heads, least_key_dim)
    value_dim = int(upsilon * filters) // heads
    if value_dim < 1:
        raise ValueError(
            f"{name}: upsilon={upsilon} of {filters} filters are fewer channels than heads={heads}"
        )
    y = conv(x, filters - heads * value_dim, 3, strides=strides, name=name)
    if pool:
        x, side = average_pool(x, 3, strides=2, name=f"{name}_pool"), -(-side // 2)
    x = conv(x, heads * (2 * key_dim + value_dim), 1, strides=strides, name=f"{name}_qkv")
    x = RelativeAttention2D(heads, key_dim, value_dim, side, side, name=f"{name}_attention")(x)
    x = conv(x, heads * value_dim, 1, name=f"{name}_heads")
    if pool:
        x = resize_like(x, y, name=f"{name}_resize")
    return layers.Concatenate(name=f"{name}_concat")([y, x])


def augmented_conv_bn(x, filters, *, strides, attention, name):
    """A 3x3 convolution, augmented if `attention` is not None, with batch norm and ReLU."""
    if attention is None:
        return conv_bn(x, filters, 3, strides=strides, activation="relu", name=name)
    x = augmented_conv(x, filters, strides=strides, **attention, name=name)
    return batch_norm(x, activation="relu", name=f"{name}_bn")


def basic_block(x, filters, *, strides, attention, name):
    """An augmented 3x3 and a 3x3."""
    x = augmented_conv_bn(x, filters, strides=strides, attention=attention, name=f"{name}_conv1")
    return conv_bn(x, filters, 3, gamma="zeros", name=f"{name}_conv2")


def bottleneck(x, filters, *, strides, attention, name):
    """1x1, an augmented 3x3, 1x1 to four times `filters`."""
    x = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv1")
    x = augmented_conv_bn(x, filters, strides=strides, attention=attention, name=f"{name}_conv2")
    return conv_bn(x, 4 * filters, 1, gamma="zeros", name=f"{name}_conv3")


@image_family(minimum=32)
def body(
    x, *, depths, block=bottleneck, heads=8, kappa=0.2, upsilon=0.1, first_level=3, resolution=224,
    pool_first=False,
):  # fmt: skip
    """Builds an attention-augmented ResNet.

    Args:
        depths: number of blocks at the levels 2, 3, 4 ...
        block: `kapps.cnn.attention_augmented.basic_block` or `bottleneck`.
        heads: number of heads, N_h of [1].
        kappa: ratio of the channels of queries and keys to the filters.
        upsilon: ratio of the channels of attention to the filters.
        first_level: the first level with attention.
        resolution: height and width of the images that the positions are for; distances that are larger have the
            vectors of the largest one (see `kapps.layers.RelativeAttention2D`).
        pool_first: whether attention at the first level reads a map of half the height and width.
    """
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, strides, name in levels(depths):
        attention = None
        if level >= first_level:
            attention = dict(
                side=-(-resolution // 2**level), heads=heads, kappa=kappa, upsilon=upsilon,
                pool=pool_first and level == first_level,
            )  # fmt: skip
        level_block = partial(block, filters=64 * 2 ** (level - 2), attention=attention)
        x = residual(x, level_block, strides=strides, name=name)
    return x


QUARTER = {"block": basic_block, "kappa": 0.25, "upsilon": 0.25}

# fmt: off
#                                               blocks at levels 2 to 5                        trainable parameters and multiply-accumulates
aa_resnet34  = variant(body, "aa_resnet34",  depths=(3, 4,  6, 3), **QUARTER, paper=BELLO, params=20_749_552, macs=4_191_263_264)
aa_resnet50  = variant(body, "aa_resnet50",  depths=(3, 4,  6, 3),            paper=BELLO, params=25_813_872, macs=4_749_803_824)
aa_resnet101 = variant(body, "aa_resnet101", depths=(3, 4, 23, 3),            paper=BELLO, params=45_391_208, macs=8_722_080_944)
aa_resnet152 = variant(body, "aa_resnet152", depths=(3, 8, 36, 3),            paper=BELLO, params=61_622_496, macs=13_204_372_016)
# fmt: on

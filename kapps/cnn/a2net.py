"""A2-Net: ResNet with blocks of double attention.

[1] Chen 2018, arXiv:1810.11579

A block of double attention gathers half as many vectors as its map has channels, of half as many channels, and adds a
1x1 convolution of what it distributes to the map (see `kapps.layers.DoubleAttention`). [1] has two of them at level 3
and three at level 4 of ResNet-50.

Departures from the paper:
- The blocks stand after every second block of ResNet-50. [1] gives their number at a level, not their places.
- The last 1x1 of a block starts at zero, so that the network starts as the ResNet.
- The small network for CIFAR, on the ResNet-20 of He 2015, is not in [1].
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.cnn.resnet import basic_block, bottleneck, residual
from kapps.layers import DoubleAttention, conv, conv_bn, max_pool
from kapps.preprocessing import CIFAR10

CHEN = "arXiv:1810.11579"


def double_attention(x, *, name):
    """x + conv(Z), with Z the double attention of three 1x1 convolutions of x; all convolutions have biases."""
    channels = x.shape[-1]
    maps = [
        conv(x, channels // 2, 1, use_bias=True, name=f"{name}_{part}")
        for part in ("features", "gather", "distribute")
    ]
    y = DoubleAttention(name=f"{name}_attention")(maps)
    y = conv(y, channels, 1, use_bias=True, initializer="zeros", name=f"{name}_expand")
    return layers.Add(name=f"{name}_sum")([x, y])


@image_family(minimum=32)
def body(x, *, depths, modules, block=bottleneck, filters=64, stem="7x7"):
    """Builds A2-Net.

    Args:
        depths: number of residual blocks at the levels 2, 3, 4 ...
        modules: number of blocks of double attention at each of these levels, at most as many as residual blocks.
        block: `kapps.cnn.resnet.basic_block` or `bottleneck`.
        filters: of the 3x3 at the first level; each next level has twice as many.
        stem: "7x7" with strides and a max pooling, or "3x3" for CIFAR, whose first level is 0.
    """
    if len(modules) != len(depths) or any(m > n for m, n in zip(modules, depths, strict=True)):
        raise ValueError(f"modules={modules} are not at most depths={depths} at each level")
    if stem not in ("7x7", "3x3"):
        raise ValueError(f'stem={stem!r} is not "7x7" or "3x3"')
    first = 2 if stem == "7x7" else 0
    if stem == "7x7":
        x = conv_bn(x, filters, 7, strides=2, activation="relu", name="stem_conv")
        x = max_pool(x, name="stem_pool")
    else:
        x = conv_bn(x, filters, 3, activation="relu", name="stem_conv")
    done = [0] * len(depths)
    for level, strides, name in levels(depths, first=first):
        i = level - first
        level_block = partial(
            block, filters=filters * 2**i, groups=1, group_width=64, stride_in="3x3"
        )
        x = residual(x, level_block, strides=strides, name=name)
        done[i] += 1
        every = depths[i] // modules[i] if modules[i] else depths[i] + 1
        if done[i] % every == 0 and done[i] <= every * modules[i]:
            x = double_attention(x, name=f"{name}_double")
    return x


CIFAR = dict(
    block=basic_block, filters=16, stem="3x3", minimum=8, classes=10, preprocessing=CIFAR10,
)  # fmt: skip

# fmt: off
#                                                 residual blocks and double attention at each level          trainable parameters and multiply-accumulates
a2net20_cifar = variant(body, "a2net20_cifar", depths=(3, 3, 3),    modules=(0, 1, 1), **CIFAR, paper=CHEN, params=282_954, macs=42_123_904)
a2net50       = variant(body, "a2net50",       depths=(3, 4, 6, 3), modules=(0, 2, 3, 0),       paper=CHEN, params=32_907_304, macs=6_658_195_456)
# fmt: on

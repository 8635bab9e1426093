"""MSDNet for ImageNet: features at several scales in every layer, and a classifier after every block of layers.

[1] Huang 2017, arXiv:1703.09844, its authors' Lua code, and their PyTorch code, github.com/kalviny/MSDNet-PyTorch

A model returns the predictions of all exits. `stop_at=2` builds the network up to its second exit, and `exits=False`
returns the predictions of the last exit only. `kapps.early_exit` chooses the exit of each image for a budget.

Departures from the paper:
- [1] has exits after t i + 3 layers: `msdnet_step4`, `msdnet_step6` and `msdnet_step7`. The command in the README of the
  PyTorch code has the first exit after 4 layers and one after every 4 more: `msdnet_step4_base4`.
- The first convolution has biases, as in the PyTorch code, whose parameters are those of the table. The Lua code has
  none: `stem_bias=False`.
- The average before a classifier is over the whole map, which is 2x2 at the default size, so that images may have any
  size.
- A layer that no exit reads is not built. In the networks of the tables there is none, but with `stop_at` there are
  some: [1, section 4] calls this lazy evaluation. The PyTorch code computes all scales of a layer.
"""

import itertools
import math
from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv_bn, max_pool

HUANG = "arXiv:1703.09844"
FACTORS = (1, 2, 4, 4)
"""Channels of each scale, from the finest, divided by those of the finest; also widths of bottlenecks by their outputs."""

conv_bn_relu = partial(conv_bn, activation="relu")


def bottleneck(x, filters, factor, *, strides=1, name):
    """A 1x1 to at most `factor * filters` channels, and a 3x3."""
    x = conv_bn_relu(x, min(x.shape[-1], factor * filters), 1, name=f"{name}_conv1")
    return conv_bn_relu(x, filters, 3, strides=strides, name=f"{name}_conv2")


def first_layer(x, filters, *, factors, finest):
    """Returns {level: features}: each scale is a strided 3x3 of the scale before it; x has the level `finest`."""
    maps = {finest: x}
    for level, factor in enumerate(factors[1:], start=finest + 1):
        x = conv_bn_relu(x, factor * filters, 3, strides=2, name=f"level{level}_conv")
        maps[level] = x
    return maps


def multi_scale_layer(maps, levels, growth_rate, *, factors, part):
    """Concatenates the features of each scale in `levels` with new ones: half of them from the finer scale, if any.

    Args:
        maps: {level: features} of the layer before.
        levels: levels of this layer.
        growth_rate: new channels at the finest scale, k of [1].
        factors: {level: factor}.
        part: name of the layer, without its level.
    """
    features = {}
    for level in levels:
        name, filters = f"level{level}_{part}", growth_rate * factors[level]
        if level - 1 in maps:
            filters //= 2
            down = bottleneck(
                maps[level - 1], filters, factors[level - 1], strides=2, name=f"{name}_down"
            )
            new = [down, bottleneck(maps[level], filters, factors[level], name=f"{name}_normal")]
        else:
            new = [bottleneck(maps[level], filters, factors[level], name=f"{name}_normal")]
        features[level] = layers.Concatenate(name=f"{name}_concat")([maps[level], *new])
    return features


def transition(maps, *, factors, part):
    """Halves the channels of every scale by a 1x1."""
    return {
        level: conv_bn_relu(
            x,
            x.shape[-1] // factors[level] // 2 * factors[level],
            1,
            name=f"level{level}_{part}_transition",
        )
        for level, x in maps.items()
    }


def blocks(maps, depths, growth_rate, *, factors):
    """Returns the features of the coarsest scale after each block.

    The layers of all blocks are divided into as many parts as there are scales. Each part after the first begins with
    a layer without the finest scale, which a transition follows [1, section 4].
    """
    finest, coarsest = min(maps), max(maps)
    interval = math.ceil(sum(depths) / len(factors))
    factors, number, ends = dict(enumerate(factors, start=finest)), itertools.count(), []
    for block, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            part = f"block{block}_layer{i}"
            levels = range(finest + next(number) // interval, coarsest + 1)
            is_reduced = len(levels) < len(maps)
            maps = multi_scale_layer(maps, levels, growth_rate, factors=factors, part=part)
            if is_reduced:
                maps = transition(maps, factors=factors, part=part)
        ends.append(maps[coarsest])
    return ends


def exit_features(ends, filters=None):
    """Returns the features that the classifiers read: two strided 3x3 after each block.

    Args:
        ends: features of the coarsest scale after each block.
        filters: channels of the convolutions, by default those of the features.

    Returns:
        The features of the last exit, and the list of those of the earlier exits.
    """
    features = []
    for i, x in enumerate(ends, start=1):
        width = filters or x.shape[-1]
        for j in (1, 2):
            x = conv_bn_relu(x, width, 3, strides=2, name=f"exit{i}_conv{j}")
        features.append(x)
    return features[-1], features[:-1]


@image_family(minimum=32, exits=heads.exit_classifier)
def body(x, *, depths, growth_rate=16, filters=32, factors=FACTORS, stem_bias=True):
    """Builds MSDNet with a classifier after each block.

    Args:
        depths: number of layers of each block.
        growth_rate: new channels of each layer at the finest scale, k of [1].
        filters: channels of the first layer at the finest scale.
        factors: of each scale's channels, from the finest scale.
        stem_bias: whether the first convolution has biases.
    """
    x = conv_bn_relu(
        x, filters * factors[0], 7, strides=2, use_bias=stem_bias, name="stem_conv"
    )  # fmt: skip
    x = max_pool(x, name="stem_pool")
    maps = first_layer(x, filters, factors=factors, finest=2)
    return exit_features(blocks(maps, depths, growth_rate, factors=factors))


# fmt: off
#                                                              layers of each block        trainable parameters and multiply-accumulates
msdnet_step4_base4 = variant(body, "msdnet_step4_base4", depths=(4, 4, 4, 4, 4),  paper=HUANG, params=23_958_440, macs=1_355_606_016)
msdnet_step4       = variant(body, "msdnet_step4",       depths=(7, 4, 4, 4, 4),  paper=HUANG, params=31_096_088, macs=1_738_127_232)
msdnet_step6       = variant(body, "msdnet_step6",       depths=(9, 6, 6, 6, 6),  paper=HUANG, params=75_087_784, macs=3_340_080_256)
msdnet_step7       = variant(body, "msdnet_step7",       depths=(10, 7, 7, 7, 7), paper=HUANG, params=80_217_816, macs=3_883_125_376)
# fmt: on

"""ConvNeXt: a ResNet redesigned step by step after vision transformers.

[1] Liu 2022, arXiv:2201.03545

Weights and biases are initialised as in the authors' code: a truncated normal distribution of deviation 0.02, and 0.
"""

from functools import partial

import keras

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.layers import FusedDense, LayerScale, add_where_equal, conv, depthwise, layer_norm

LIU = "arXiv:2201.03545"

truncated_normal = partial(keras.initializers.TruncatedNormal, stddev=0.02)


def dense(x, units, *, activation=None, name):
    """A dense layer on the channels of each pixel, which is a 1x1 convolution."""
    return FusedDense(
        units, activation=activation, kernel_initializer=truncated_normal(), name=name
    )(x)


def patches(x, filters, size, *, name):
    """A convolution of patches that do not overlap: the stem, and the first layer of levels 3 to 5."""
    return conv(
        x, filters, size, strides=size, padding="valid", use_bias=True,
        initializer=truncated_normal(), name=name,
    )  # fmt: skip


def block(x, *, layer_scale, drop_rate, name):
    """Figure 4 of [1]: 7x7 depthwise, layer norm, 1x1 to 4 times as many channels, GELU, 1x1, layer scale.

    Training drops the branch for a fraction `drop_rate` of the images: stochastic depth (Huang 2016, arXiv:1603.09382).
    """
    filters = x.shape[-1]
    y = depthwise(x, 7, use_bias=True, initializer=truncated_normal(), name=f"{name}_depthwise")
    y = layer_norm(y, name=f"{name}_norm")
    y = dense(y, 4 * filters, activation="gelu", name=f"{name}_expand")
    y = dense(y, filters, name=f"{name}_project")
    y = LayerScale(layer_scale, name=f"{name}_scale")(y)
    return add_where_equal(x, y, strides=1, drop_rate=drop_rate, name=name)


def head(x, classes, activation, *, pooling="avg"):
    """Global average pooling, layer norm and the classifier."""
    x = layer_norm(heads.pool(x, pooling), name="head_norm")
    return heads.classifier(x, classes, activation)


@image_family(minimum=32, padding="valid", head=head)
def body(x, *, depths, filters, layer_scale=1e-6, drop_rate=0.0):
    """Builds ConvNeXt.

    Args:
        depths: number of blocks at levels 2 to 5.
        filters: channels at levels 2 to 5.
        layer_scale: initial value of the layer scales.
        drop_rate: stochastic depth rises linearly from 0 in the first block to this rate in the last.
    """
    x = layer_norm(patches(x, filters[0], 4, name="stem_conv"), name="stem_norm")
    for i, (level, strides, name) in enumerate(levels(depths)):
        if strides > 1:
            x = layer_norm(x, name=f"level{level}_downsample_norm")
            x = patches(x, filters[level - 2], 2, name=f"level{level}_downsample")
        rate = drop_rate * i / max(sum(depths) - 1, 1)
        x = block(x, layer_scale=layer_scale, drop_rate=rate, name=name)
    return x


# fmt: off
#                                                     blocks                  channels                                         trainable parameters and multiply-accumulates
convnext_tiny   = variant(body, "convnext_tiny",   depths=(3, 3, 9, 3),  filters=(96, 192, 384, 768),    drop_rate=0.1, paper=LIU, params=28_589_128,  macs=4_455_531_264)
convnext_small  = variant(body, "convnext_small",  depths=(3, 3, 27, 3), filters=(96, 192, 384, 768),    drop_rate=0.4, paper=LIU, params=50_223_688,  macs=8_683_712_256)
convnext_base   = variant(body, "convnext_base",   depths=(3, 3, 27, 3), filters=(128, 256, 512, 1024),  drop_rate=0.5, paper=LIU, params=88_591_464,  macs=15_354_729_472)
convnext_large  = variant(body, "convnext_large",  depths=(3, 3, 27, 3), filters=(192, 384, 768, 1536),  drop_rate=0.5, paper=LIU, params=197_767_336, macs=34_361_433_600)
convnext_xlarge = variant(body, "convnext_xlarge", depths=(3, 3, 27, 3), filters=(256, 512, 1024, 2048), drop_rate=0.5, paper=LIU, params=350_196_968, macs=60_921_030_656)
# fmt: on

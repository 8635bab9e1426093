"""SENet-154, the squeeze-and-excitation network of the ILSVRC 2017 entry.

[1] Hu 2017, arXiv:1709.01507, its appendix, and its authors' code

It is a 64x4d ResNeXt-152 with four changes: the first 1x1 of a block has half the channels of the 3x3; the stem is three
3x3 convolutions; shortcuts with strides are 3x3 convolutions; and dropout of 0.2 precedes the classifier.

Departure: the stem's pooling is padded on every side, as in timm's senet154, not only on the right and bottom as Caffe
pads it in the authors' code.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.layers import conv_bn, max_pool, squeeze_excite

HU = "arXiv:1709.01507"


def bottleneck(x, filters, *, strides, groups, se, name):
    """relu(x + SE(F(x))), F a 1x1 to half of `filters`, a 3x3 in `groups` to `filters`, and a 1x1."""
    y = conv_bn(x, filters // 2, 1, activation="relu", name=f"{name}_conv1")
    y = conv_bn(
        y, filters, 3, strides=strides, groups=groups, activation="relu", name=f"{name}_conv2"
    )
    y = conv_bn(y, filters, 1, gamma="zeros", name=f"{name}_conv3")
    y = squeeze_excite(y, filters // se, name=f"{name}_se")
    if strides > 1:
        x = conv_bn(x, filters, 3, strides=strides, name=f"{name}_shortcut")
    elif x.shape[-1] != filters:
        x = conv_bn(x, filters, 1, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x)


@image_family(minimum=32, head=partial(heads.global_average_pooling, dropout=0.2))
def body(x, *, depths, groups=64, se=16):
    """Builds SENet.

    Args:
        depths: number of blocks at the levels 2, 3, 4 ..., of 256, 512, 1024 ... channels.
        groups: of the 3x3 convolutions.
        se: reduction ratio of SE blocks, r of [1].
    """
    x = conv_bn(x, 64, 3, strides=2, activation="relu", name="stem_conv1")
    x = conv_bn(x, 64, 3, activation="relu", name="stem_conv2")
    x = conv_bn(x, 128, 3, activation="relu", name="stem_conv3")
    x = max_pool(x, name="stem_pool")
    for level, strides, name in levels(depths):
        x = bottleneck(x, 64 * 2**level, strides=strides, groups=groups, se=se, name=name)
    return x


# fmt: off
#                                       blocks at levels 2 to 5            trainable parameters and multiply-accumulates
senet154 = variant(body, "senet154", depths=(3, 8, 36, 3), paper=HU, params=115_088_984, macs=20_688_363_520)
# fmt: on

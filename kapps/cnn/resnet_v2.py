"""ResNet v2, with batch norm and ReLU before each convolution (pre-activation).

[1] He 2016, arXiv:1603.05027, and its authors' code for ImageNet, which has the strides in the 3x3

The first block follows the activated stem and has no activation of its own ([1], appendix). timm's resnetv2_* activates
after the stem's pooling, not before it. It has the same parameters, and computes the same function where the scale of
that batch norm is positive.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import batch_norm, conv, conv_bn, max_pool

HE = "arXiv:1603.05027"


def bottleneck(x, filters, *, strides, activate, gate=None, name):
    """x + F(relu(bn(x))); where the shape changes, the shortcut projects the activated features.

    A gate computes F's features in the sum from F's and the shortcut's: `gate(y, x, name=...)`.
    """
    y = batch_norm(x, activation="relu", name=f"{name}_preact") if activate else x
    if strides > 1 or x.shape[-1] != 4 * filters:
        x = conv(y, 4 * filters, 1, strides=strides, name=f"{name}_shortcut")
    y = conv_bn(y, filters, 1, activation="relu", name=f"{name}_conv1")
    y = conv_bn(y, filters, 3, strides=strides, activation="relu", name=f"{name}_conv2")
    y = conv(y, 4 * filters, 1, name=f"{name}_conv3")
    if gate is not None:
        y = gate(y, x, name=name)
    return layers.Add(name=f"{name}_out")([x, y])


@image_family(minimum=32)
def body(x, *, depths):
    """Builds ResNet v2 with `depths` bottlenecks at the levels 2, 3, 4 ..."""
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, strides, name in levels(depths):
        activate = name != "level2_block1"
        x = bottleneck(x, 16 * 2**level, strides=strides, activate=activate, name=name)
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                   bottlenecks at levels 2 to 5       trainable parameters and multiply-accumulates
resnet50_v2  = variant(body, "resnet50_v2",  depths=(3,  4,  6, 3), paper=HE, params=25_549_352,  macs=4_089_184_256)
resnet101_v2 = variant(body, "resnet101_v2", depths=(3,  4, 23, 3), paper=HE, params=44_541_480,  macs=7_801_405_440)
resnet152_v2 = variant(body, "resnet152_v2", depths=(3,  8, 36, 3), paper=HE, params=60_185_128,  macs=11_513_626_624)
resnet200_v2 = variant(body, "resnet200_v2", depths=(3, 24, 36, 3), paper=HE, params=64_666_152,  macs=15_007_481_856)
# fmt: on

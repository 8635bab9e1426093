"""Accuracy booster: a ResNet that weights the channels of each block by their own mean.

[1] Singh 2019, arXiv:1903.04407

The block of [1] has one representative value for each channel, a 1x1 depthwise convolution, a batch norm and a sigmoid,
which the channel is multiplied by. Three choices are not known from the source: that the value is the global mean, that
the gate is on the branch before the sum, as that of SE, and that the convolution has no bias, which the batch norm would
remove. The convolution starts at 1.

In training the batch norm needs more than one image: it normalises one value for each image.
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.cnn.resnet import basic_block, bottleneck, features
from kapps.layers import batch_norm, depthwise

SINGH = "arXiv:1903.04407"


def booster(x, *, name):
    """x * sigmoid(BN(w * mean(x))), with a weight w for each channel."""
    name = f"{name}_booster"
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    gate = depthwise(gate, 1, initializer="ones", name=name)
    gate = batch_norm(gate, activation="sigmoid", name=f"{name}_bn")
    return layers.Multiply(name=f"{name}_scale")([x, gate])


@image_family(minimum=32)
def body(x, *, depths, block=bottleneck, groups=1, group_width=64):
    """Builds a ResNet with accuracy boosters.

    Args:
        depths: number of blocks at the levels 2, 3, 4 ...
        block: `kapps.cnn.resnet.basic_block` or `bottleneck`.
        groups: cardinality of the 3x3.
        group_width: width of a group at level 2.
    """
    return features(
        x, depths=depths, block=block, groups=groups, group_width=group_width, gate=booster
    )


# fmt: off
#                                                       blocks at levels 2 to 5                                 trainable parameters and multiply-accumulates
booster_resnet18  = variant(body, "booster_resnet18",  depths=(2, 2,  2, 2), block=basic_block, paper=SINGH, params=11_695_272, macs=1_814_075_264)
booster_resnet34  = variant(body, "booster_resnet34",  depths=(3, 4,  6, 3), block=basic_block, paper=SINGH, params=21_809_000, macs=3_663_765_184)
booster_resnet50  = variant(body, "booster_resnet50",  depths=(3, 4,  6, 3),                    paper=SINGH, params=25_602_344, macs=4_089_199_360)
booster_resnet101 = variant(body, "booster_resnet101", depths=(3, 4, 23, 3),                    paper=SINGH, params=44_646_696, macs=7_801_437_952)
booster_resnet152 = variant(body, "booster_resnet152", depths=(3, 8, 36, 3),                    paper=SINGH, params=60_336_424, macs=11_513_674_496)
# fmt: on

"""ShiftResNet: a ResNet for CIFAR with shifts and 1x1 convolutions in its blocks.

[1] Wu 2017, arXiv:1711.08141, and its authors' code

As in the authors' code, a ReLU follows the branch, and none the sum. Another version of that code has it after the
sum: `relu_after_sum=True`. Of the groups of channels that a shift moves the authors' code takes every ninth channel, and
this one neighbours, which is a permutation of the channels between two 1x1 convolutions; channels that are left over
do not move here.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import Shift, conv_bn
from kapps.preprocessing import CIFAR10

WU = "arXiv:1711.08141"


def shift_block(x, filters, *, expansion, strides, relu_after_sum, name):
    """x + relu(F(x)) or relu(x + F(x)), F a 1x1, a shift and a 1x1."""
    y = conv_bn(x, expansion * filters, 1, activation="relu", name=f"{name}_conv1")
    y = Shift(name=f"{name}_shift")(y)
    y = conv_bn(
        y, filters, 1, strides=strides, activation=None if relu_after_sum else "relu",
        name=f"{name}_conv2",
    )  # fmt: skip
    if strides > 1 or x.shape[-1] != filters:
        x = conv_bn(x, filters, 1, strides=strides, name=f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x) if relu_after_sum else x


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10, padding="valid"
)
def body(x, *, n, expansion, relu_after_sum=False):
    """Builds ShiftResNet.

    Args:
        n: number of blocks at each of the levels 0, 1 and 2.
        expansion: ratio of the shifted channels to the block's.
        relu_after_sum: whether the last ReLU of a block follows the sum, and not the branch.
    """
    x = conv_bn(x, 16, 3, activation="relu", name="stem_conv")
    for level, strides, name in levels((n, n, n), first=0):
        x = shift_block(
            x, 16 * 2**level, expansion=expansion, strides=strides, relu_after_sum=relu_after_sum,
            name=name,
        )  # fmt: skip
    return x


# fmt: off
#                                                        6n + 2                      trainable parameters and multiply-accumulates
shift_resnet20_e1  = variant(body, "shift_resnet20_e1",  n=3,  expansion=1, paper=WU, params=34_906,    macs=5_948_032)
shift_resnet20_e3  = variant(body, "shift_resnet20_e3",  n=3,  expansion=3, paper=WU, params=95_642,    macs=16_433_792)
shift_resnet20_e6  = variant(body, "shift_resnet20_e6",  n=3,  expansion=6, paper=WU, params=186_746,   macs=32_162_432)
shift_resnet20_e9  = variant(body, "shift_resnet20_e9",  n=3,  expansion=9, paper=WU, params=277_850,   macs=47_891_072)
shift_resnet56_e1  = variant(body, "shift_resnet56_e1",  n=9,  expansion=1, paper=WU, params=102_106,   macs=15_385_216)
shift_resnet56_e3  = variant(body, "shift_resnet56_e3",  n=9,  expansion=3, paper=WU, params=294_554,   macs=44_745_344)
shift_resnet56_e6  = variant(body, "shift_resnet56_e6",  n=9,  expansion=6, paper=WU, params=583_226,   macs=88_785_536)
shift_resnet56_e9  = variant(body, "shift_resnet56_e9",  n=9,  expansion=9, paper=WU, params=871_898,   macs=132_825_728)
shift_resnet110_e1 = variant(body, "shift_resnet110_e1", n=18, expansion=1, paper=WU, params=202_906,   macs=29_540_992)
shift_resnet110_e3 = variant(body, "shift_resnet110_e3", n=18, expansion=3, paper=WU, params=592_922,   macs=87_212_672)
shift_resnet110_e6 = variant(body, "shift_resnet110_e6", n=18, expansion=6, paper=WU, params=1_177_946, macs=173_720_192)
shift_resnet110_e9 = variant(body, "shift_resnet110_e9", n=18, expansion=9, paper=WU, params=1_762_970, macs=260_227_712)
# fmt: on

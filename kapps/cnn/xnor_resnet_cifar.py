"""Binary ResNets for CIFAR: the blocks of XNOR-Net in the network of He 2015 for images of 32x32 pixels.

[1] Rastegari 2016, arXiv:1603.05279    [2] He 2015, arXiv:1512.03385, section 4.2

The first convolution and the classifier are real, and shortcuts are identities: all other kernels are binary. These
networks are not in [1]. They compare full precision (`resnet20_cifar`), binary weights and binary inputs on small images.
"""

from kapps.builders import image_family, levels, variant
from kapps.cnn.resnet_cifar import shortcut
from kapps.cnn.xnor_resnet import bwn, residual, xnor
from kapps.layers import batch_norm, conv_bn
from kapps.preprocessing import CIFAR10

RASTEGARI = "arXiv:1603.05279"


@image_family(minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10)
def body(x, *, n, block=xnor, input_scale=False):
    """Builds a binary ResNet for CIFAR.

    Args:
        n: number of blocks at each of the levels 0, 1 and 2.
        block: `bwn` for binary weights or `xnor` for binary inputs too.
        input_scale: with `xnor`, whether the outputs of convolutions are multiplied by K.
    """
    x = conv_bn(x, 16, 3, activation="relu", name="stem_conv")
    for level, strides, name in levels((n, n, n), first=0):
        filters = 16 * 2**level
        y = block(x, filters, strides=strides, input_scale=input_scale, name=name)
        x = residual(shortcut(x, filters, strides=strides, name=name), y, block, name=name)
    return x if block is bwn else batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                                           6n + 2               trainable parameters and multiply-accumulates
bwn_resnet20_cifar  = variant(body, "bwn_resnet20_cifar",  n=3, block=bwn,  paper=RASTEGARI, params=269_722, macs=40_551_040)
xnor_resnet20_cifar = variant(body, "xnor_resnet20_cifar", n=3, block=xnor, paper=RASTEGARI, params=269_754, macs=40_551_040)
# fmt: on

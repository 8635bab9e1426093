"""AS-ResNet for CIFAR: the units of AS-ResNet at three levels.

[1] Jeon 2018, arXiv:1806.07370, and its authors' code, whose networks are named by their channels and expansion: 16x3
"""

from kapps.builders import image_family, levels, variant
from kapps.cnn.as_resnet import unit
from kapps.layers import batch_norm, conv
from kapps.preprocessing import CIFAR10

JEON = "arXiv:1806.07370"


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10, padding="valid"
)
def body(x, *, n=3, filters, expansion, limit=2):
    """Builds AS-ResNet for CIFAR.

    Args:
        n: number of units at each of the levels 0, 1 and 2.
        filters: channels at level 0; each next level has twice as many.
        expansion: ratio of the shifted channels to the unit's.
        limit: largest displacement in pixels.
    """
    x = conv(x, filters, 3, name="stem_conv")
    for level, strides, name in levels((n, n, n), first=0):
        x = unit(
            x, filters * 2**level, expansion=expansion, strides=strides, limit=limit, name=name
        )
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                                                         trainable parameters and multiply-accumulates
as_resnet20_16x1 = variant(body, "as_resnet20_16x1", filters=16, expansion=1, paper=JEON, params=35_386,  macs=5_948_032)
as_resnet20_16x3 = variant(body, "as_resnet20_16x3", filters=16, expansion=3, paper=JEON, params=97_466,  macs=16_433_792)
as_resnet20_16x6 = variant(body, "as_resnet20_16x6", filters=16, expansion=6, paper=JEON, params=190_586, macs=32_162_432)
as_resnet20_16x9 = variant(body, "as_resnet20_16x9", filters=16, expansion=9, paper=JEON, params=283_706, macs=47_891_072)
as_resnet20_46x1 = variant(body, "as_resnet20_46x1", filters=46, expansion=1, paper=JEON, params=275_596, macs=46_776_112)
as_resnet20_88x1 = variant(body, "as_resnet20_88x1", filters=88, expansion=1, paper=JEON, params=992_914, macs=168_963_520)
# fmt: on

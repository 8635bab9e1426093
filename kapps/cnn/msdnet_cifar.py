"""MSDNet for CIFAR: three scales, and a classifier after every block of layers.

[1] Huang 2017, arXiv:1703.09844, its authors' Lua code, and their PyTorch code, github.com/kalviny/MSDNet-PyTorch

For prediction at any time [1] has an exit after every second layer, for a budget of a batch of images a first exit
after one layer and blocks that grow by one layer.

Departures from the paper:
- [1] has eleven exits for prediction at any time, `msdnet_anytime11_cifar`. The README of the Lua code has a command for
  ten, that of the PyTorch code one for seven on CIFAR-100.
- The average before a classifier is over the whole map, which is 2x2 at 32x32 pixels.
- A layer that no exit reads is not built, as in `msdnet`.
"""

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.msdnet import HUANG, blocks, conv_bn_relu, exit_features, first_layer
from kapps.preprocessing import CIFAR10


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10,
    exits=heads.exit_classifier,
)  # fmt: skip
def body(x, *, depths, growth_rate=6, filters=16, factors=(1, 2, 4)):
    """Builds MSDNet for CIFAR with a classifier after each block.

    Args:
        depths: number of layers of each block.
        growth_rate: new channels of each layer at the finest scale, k of [1].
        filters: channels of the first layer at the finest scale.
        factors: of each scale's channels, from the finest scale.
    """
    x = conv_bn_relu(x, filters * factors[0], 3, name="stem_conv")
    maps = first_layer(x, filters, factors=factors, finest=0)
    return exit_features(blocks(maps, depths, growth_rate, factors=factors), filters=128)


# fmt: off
#                                                                      layers of each block                                    trainable parameters and multiply-accumulates
msdnet_anytime7_cifar  = variant(body, "msdnet_anytime7_cifar",  depths=(4, 2, 2, 2, 2, 2, 2),          classes=100, paper=HUANG, params=3_067_960, macs=75_487_744)
msdnet_anytime10_cifar = variant(body, "msdnet_anytime10_cifar", depths=(4, 2, 2, 2, 2, 2, 2, 2, 2, 2),              paper=HUANG, params=4_839_544, macs=120_971_776)
msdnet_anytime11_cifar = variant(body, "msdnet_anytime11_cifar", depths=(4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2),           paper=HUANG, params=5_470_050, macs=133_973_760)
msdnet_budget5_cifar   = variant(body, "msdnet_budget5_cifar",   depths=(1, 2, 3, 4, 5),                             paper=HUANG, params=2_020_874, macs=58_030_336)
msdnet_budget7_cifar   = variant(body, "msdnet_budget7_cifar",   depths=(1, 2, 3, 4, 5, 6, 7),                       paper=HUANG, params=3_885_394, macs=136_484_608)
msdnet_budget8_cifar   = variant(body, "msdnet_budget8_cifar",   depths=(1, 2, 3, 4, 5, 6, 7, 8),                    paper=HUANG, params=5_217_684, macs=191_729_664)
# fmt: on

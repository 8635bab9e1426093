"""VGG.

[1] Simonyan 2014, arXiv:1409.1556, Table 1

`_bn` has a batch norm after each convolution, as in torchvision and timm; the paper has none.

Departures from the paper:
- A feature map larger or smaller than the 7x7 of the first dense layer is averaged to 7x7, as in torchvision. In evaluation [1] turns the dense layers into convolutions and averages their predictions.
- Convolutions have He's initialisation by fan-in and dense layers have Glorot's. [1] trained the deeper networks from
  the weights of A, and found later that Glorot's initialisation makes this unnecessary.
- Convolutions before a batch norm keep their biases, as in torchvision and timm.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import LocalResponseNormalization, conv_bn, conv_relu, max_pool

SIMONYAN = "arXiv:1409.1556"

conv_bn_relu = partial(conv_bn, use_bias=True, initializer="he_normal", activation="relu")


@image_family(
    minimum=32, padding="valid", any_size=False, head=partial(heads.flatten_dense, grid=(7, 7))
)
def body(x, *, depths, third=3, norm=None):
    """Builds VGG.

    Args:
        depths: number of convolutions at each of the levels 0 to 4.
        third: kernel size of each level's third convolution, 1 in configuration C.
        norm: None, "batch", or "lrn" for local response normalisation after the first convolution.
    """
    if norm not in (None, "batch", "lrn"):
        raise ValueError(f'norm is None, "batch" or "lrn", not {norm!r}')
    convolution = conv_bn_relu if norm == "batch" else conv_relu
    for level, depth in enumerate(depths):
        filters = min(64 * 2**level, 512)
        for i in range(1, depth + 1):
            kernel_size = third if i == 3 else 3
            x = convolution(x, filters, kernel_size, name=f"level{level}_conv{i}")
            if norm == "lrn" and level == 0:
                x = LocalResponseNormalization(name=f"level{level}_norm{i}")(x)
        x = max_pool(x, 2, padding="valid", name=f"level{level + 1}_pool")
    return x


# fmt: off
#                                          convolutions at levels 0 to 4                           trainable parameters and multiply-accumulates
vgg11     = variant(body, "vgg11",     depths=(1, 1, 2, 2, 2),               paper=SIMONYAN, params=132_863_336, macs=7_609_090_048)
vgg11_lrn = variant(body, "vgg11_lrn", depths=(1, 1, 2, 2, 2), norm="lrn",   paper=SIMONYAN, params=132_863_336, macs=7_609_090_048)
vgg13     = variant(body, "vgg13",     depths=(2, 2, 2, 2, 2),               paper=SIMONYAN, params=133_047_848, macs=11_308_466_176)
vgg16_1x1 = variant(body, "vgg16_1x1", depths=(2, 2, 3, 3, 3), third=1,      paper=SIMONYAN, params=133_638_952, macs=11_770_888_192)
vgg16     = variant(body, "vgg16",     depths=(2, 2, 3, 3, 3),               paper=SIMONYAN, params=138_357_544, macs=15_470_264_320)
vgg19     = variant(body, "vgg19",     depths=(2, 2, 4, 4, 4),               paper=SIMONYAN, params=143_667_240, macs=19_632_062_464)
vgg11_bn  = variant(body, "vgg11_bn",  depths=(1, 1, 2, 2, 2), norm="batch", paper=SIMONYAN, params=132_868_840, macs=7_609_090_048)
vgg13_bn  = variant(body, "vgg13_bn",  depths=(2, 2, 2, 2, 2), norm="batch", paper=SIMONYAN, params=133_053_736, macs=11_308_466_176)
vgg16_bn  = variant(body, "vgg16_bn",  depths=(2, 2, 3, 3, 3), norm="batch", paper=SIMONYAN, params=138_365_992, macs=15_470_264_320)
vgg19_bn  = variant(body, "vgg19_bn",  depths=(2, 2, 4, 4, 4), norm="batch", paper=SIMONYAN, params=143_678_248, macs=19_632_062_464)
# fmt: on

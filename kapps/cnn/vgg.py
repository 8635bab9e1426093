"""VGG: 3x3 convolutions, then the largest of each 2x2, five times, and three dense layers.

[1] Simonyan 2014, arXiv:1409.1556, Table 1

`_bn` has a batch norm after each convolution, which the paper has not: torchvision's and timm's.

Departures from the paper:
- A larger image than 224 is averaged to the 7x7 map that the first dense layer reads, as in torchvision, a smaller
  one by area; [1] makes the dense layers convolutions, and averages their answers, in evaluation.
- Convolutions begin as He's initialisation by fan-in draws them and dense layers as Glorot's; [1] trained the deeper networks
  from the weights of A, and found later that Glorot's does without.
- Before a batch norm the convolutions keep their biases, as in torchvision and timm.
"""

from functools import partial

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import LocalResponseNormalization, batch_norm, conv, conv_relu, max_pool

SIMONYAN = "arXiv:1409.1556"
WIDTHS = (64, 128, 256, 512, 512)


def convolution(x, filters, kernel_size, *, norm, name):
    """A convolution with bias, and ReLU; between them a batch norm where `norm` is "batch"."""
    if norm != "batch":
        return conv_relu(x, filters, kernel_size, name=name)
    x = conv(x, filters, kernel_size, use_bias=True, initializer="he_normal", name=name)
    return batch_norm(x, activation="relu", name=f"{name}_bn")


@image_family(minimum=32, any_size=False, head=partial(heads.flatten_dense, grid=(7, 7)))
def body(x, *, depths, third=3, norm=None):
    """VGG with `depths` convolutions at levels 0 to 4.

    `third` is the kernel size of each level's third one, 1 in configuration C; `norm` is None, "batch", or "lrn" for a
    local response normalisation after the first.
    """
    if norm not in (None, "batch", "lrn"):
        raise ValueError(f'norm is None, "batch" or "lrn", not {norm!r}')
    for level, (filters, depth) in enumerate(zip(WIDTHS, depths, strict=True)):
        for i in range(1, depth + 1):
            kernel_size = third if i == 3 else 3
            x = convolution(x, filters, kernel_size, norm=norm, name=f"level{level}_conv{i}")
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

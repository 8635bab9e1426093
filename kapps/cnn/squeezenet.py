"""SqueezeNet: fire modules, few 1x1 filters before many 1x1 and 3x3, and AlexNet's accuracy in a fiftieth of it.

[1] Iandola 2016, arXiv:1602.07360, Table 1 and Figure 2, and its authors' code, github.com/forresti/SqueezeNet

`squeezenet1_1` is the authors' later network, the same accuracy with 2.4 times fewer products. `_bypass` adds what a
module reads where it has the shape of what it makes; `_complex_bypass` adds it through a 1x1 convolution elsewhere.

Departures from the paper:
- The first convolution has no padding, as in the authors' code and torchvision: Table 1's 111 rows are those of an image
  of 227, one of 224 has 109.
- The complex bypass is Figure 2's; of the 7.7 MB that Table 3 prints for it, its weights are 6.1.
- Weights begin as He's initialisation by fan-in draws them, as in torchvision, and the last layer's as Glorot's.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv, conv_relu, max_pool

IANDOLA = "arXiv:1602.07360"
# Table 1 of [1]: level of each module, and its squeezed channels; both expansions have four times as many.
V1_0 = ((2, 16), (2, 16), (2, 32), (3, 32), (3, 48), (3, 48), (3, 64), (4, 64))
V1_1 = ((2, 16), (2, 16), (3, 32), (3, 32), (4, 48), (4, 48), (4, 64), (4, 64))


def fire(x, squeezed, *, bypass, name):
    """1x1 to `squeezed` channels; beside each other 1x1 and 3x3 to four times as many; x is added as `bypass` says."""
    y = conv_relu(x, squeezed, 1, name=f"{name}_squeeze")
    expanded = [conv_relu(y, 4 * squeezed, n, name=f"{name}_expand{n}x{n}") for n in (1, 3)]
    y = layers.Concatenate(name=f"{name}_concat")(expanded)
    if x.shape[-1] != y.shape[-1] and bypass == "complex":
        x = conv(x, y.shape[-1], 1, use_bias=True, initializer="he_normal", name=f"{name}_bypass")
    if bypass is None or x.shape[-1] != y.shape[-1]:
        return y
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(minimum=21, head=partial(heads.class_map_pooling, dropout=0.5))
def body(x, *, modules=V1_0, first=(96, 7), bypass=None):
    """SqueezeNet of `modules`, (level, squeezed channels) each.

    `first` is filters and kernel size of the first convolution; `bypass` is None, "simple" or "complex".
    """
    if bypass not in (None, "simple", "complex"):
        raise ValueError(f'bypass is None, "simple" or "complex", not {bypass!r}')
    filters, size = first
    x = conv_relu(x, filters, size, strides=2, padding="valid", name="stem_conv")
    blocks = dict.fromkeys((2, 3, 4), 0)
    for level, squeezed in modules:
        if not blocks[level]:
            x = max_pool(x, padding=(0, 1), name=f"level{level}_pool")
        blocks[level] += 1
        x = fire(x, squeezed, bypass=bypass, name=f"level{level}_block{blocks[level]}")
    return x


# fmt: off
#                                                                                                                                           trainable parameters and multiply-accumulates
squeezenet                = variant(body, "squeezenet",                modules=V1_0, first=(96, 7),                   paper=IANDOLA, params=1_248_424, macs=818_924_576)
squeezenet1_1             = variant(body, "squeezenet1_1",             modules=V1_1, first=(64, 3),                   paper=IANDOLA, params=1_235_496, macs=349_151_936)
squeezenet_bypass         = variant(body, "squeezenet_bypass",         modules=V1_0, first=(96, 7), bypass="simple",  paper=IANDOLA, params=1_248_424, macs=818_924_576)
squeezenet_complex_bypass = variant(body, "squeezenet_complex_bypass", modules=V1_0, first=(96, 7), bypass="complex", paper=IANDOLA, params=1_589_672, macs=1_165_298_720)
# fmt: on

"""SqueezeNet, with the accuracy of AlexNet and a fiftieth of its parameters.

[1] Iandola 2016, arXiv:1602.07360, Table 1 and Figure 2, and its authors' code, github.com/forresti/SqueezeNet

`squeezenet1_1` is the authors' later network, with the same accuracy and 2.4 times fewer multiply-adds. `_bypass` adds a
module's input to its output where both have the same shape. `_complex_bypass` adds it through a 1x1 convolution
elsewhere.

Departures from the paper:
- The first convolution is not padded, as in the authors' code and torchvision: the 111 rows of Table 1 need an image of
  227 pixels; 224 pixels give 109.
- The complex bypass is that of Figure 2; its weights take 6.1 MB, and Table 3 prints 7.7 MB.
- Kernels have He's initialisation by fan-in, as in torchvision, and the last layer has Glorot's.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, levels, variant
from kapps.layers import conv, conv_relu, max_pool

IANDOLA = "arXiv:1602.07360"
SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)
"""Table 1 of [1]: squeezed channels of the modules fire2 to fire9."""


def fire_module(x, squeeze, *, bypass, name):
    """1x1 to `squeeze` channels; 1x1 and 3x3 to four times as many each, concatenated; and the bypass."""
    y = conv_relu(x, squeeze, 1, name=f"{name}_squeeze")
    expand1x1 = conv_relu(y, 4 * squeeze, 1, name=f"{name}_expand1x1")
    expand3x3 = conv_relu(y, 4 * squeeze, 3, name=f"{name}_expand3x3")
    y = layers.Concatenate(name=f"{name}_concat")([expand1x1, expand3x3])
    if x.shape[-1] != y.shape[-1] and bypass == "complex":
        x = conv(x, y.shape[-1], 1, use_bias=True, initializer="he_normal", name=f"{name}_bypass")
    if bypass is None or x.shape[-1] != y.shape[-1]:
        return y
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(minimum=21, head=partial(heads.class_map_pooling, dropout=0.5))
def body(x, *, stem=(96, 7), depths=(3, 4, 1), bypass=None):
    """Builds SqueezeNet.

    Args:
        stem: filters and kernel size of the first convolution.
        depths: number of fire modules at the levels 2, 3 and 4, eight together.
        bypass: None, "simple" or "complex".
    """
    if bypass not in (None, "simple", "complex"):
        raise ValueError(f'bypass is None, "simple" or "complex", not {bypass!r}')
    filters, kernel_size = stem
    x = conv_relu(x, filters, kernel_size, strides=2, padding="valid", name="stem_conv")
    modules = levels(depths, strides=2)
    for squeeze, (level, strides, name) in zip(SQUEEZE, modules, strict=True):
        if strides > 1:
            x = max_pool(x, padding=(0, 1), name=f"level{level}_pool")
        x = fire_module(x, squeeze, bypass=bypass, name=name)
    return x


# fmt: off
# the first convolution, fire modules at levels 2 to 4                                                                                                                                  trainable parameters and multiply-accumulates
squeezenet                = variant(body, "squeezenet",                stem=(96, 7), depths=(3, 4, 1),                   paper=IANDOLA, params=1_248_424, macs=818_924_576)
squeezenet1_1             = variant(body, "squeezenet1_1",             stem=(64, 3), depths=(2, 2, 4),                   paper=IANDOLA, params=1_235_496, macs=349_151_936)
squeezenet_bypass         = variant(body, "squeezenet_bypass",         stem=(96, 7), depths=(3, 4, 1), bypass="simple",  paper=IANDOLA, params=1_248_424, macs=818_924_576)
squeezenet_complex_bypass = variant(body, "squeezenet_complex_bypass", stem=(96, 7), depths=(3, 4, 1), bypass="complex", paper=IANDOLA, params=1_589_672, macs=1_165_298_720)
# fmt: on

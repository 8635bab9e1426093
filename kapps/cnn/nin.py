"""Network in network: a small network at every place, as 1x1 convolutions, and no dense layers.

[1] Lin 2013, arXiv:1312.4400, and its author's code for CIFAR, github.com/mavenlin/cuda-convnet
[2] Zhang 2021, arXiv:2106.11342 (Dive into Deep Learning), section 8.3, and the lectures that print its maps

`nin_cifar` is [1]; `nin` is the network for 224x224 that [2] makes of it, with AlexNet's first convolutions.

Departures from the papers:
- [1] prints no widths and no paddings: they are its code's, the poolings padded by 1 on every side as in pytorchcv.
- The mean over a pooling's window counts its padding, as in pytorchcv.
- Weights begin as He's initialisation by fan-in draws them, as pytorchcv's: without norms, by fan-out the signal would
  fade in the first layer, which has few inputs. [1]'s code and [2] have others.
"""

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv_relu, max_pool

ZHANG = "arXiv:2106.11342"


def mlpconv(x, filters, kernel_size, *, strides=1, padding=None, name):
    """A convolution and 1x1 convolutions of `filters`, each with a ReLU."""
    for i, width in enumerate(filters, start=1):
        where = {"strides": strides, "padding": padding} if i == 1 else {}
        size = kernel_size if i == 1 else 1
        x = conv_relu(x, width, size, **where, name=f"{name}_conv{i}")
    return x


def last_block(x, classes, activation):
    """The fourth block of [2]: dropout, a 3x3 and two 1x1 as wide as there are classes, and the mean of their maps."""
    x = layers.Dropout(0.5, name="head_dropout")(x)
    x = mlpconv(x, (classes, classes), 3, name="head")
    return heads.class_map_pooling(x, classes, activation)


@image_family(minimum=67, head=last_block)
def body(x, *, filters=(96, 256, 384)):
    """Three blocks of `filters` with 11x11, 5x5 and 3x3 convolutions; the fourth belongs to the head."""
    x = mlpconv(x, filters[:1] * 3, 11, strides=4, padding="valid", name="stem")
    for level, (width, kernel_size) in enumerate(zip(filters[1:], (5, 3), strict=True), start=3):
        x = max_pool(x, padding="valid", name=f"level{level}_pool")
        x = mlpconv(x, (width,) * 3, kernel_size, name=f"level{level}")
    return max_pool(x, padding="valid", name="level5_pool")


# fmt: off
#                                                     widths                                                                  trainable parameters and multiply-accumulates
nin       = variant(body,       "nin",       filters=(96, 256, 384),                                    paper=ZHANG, params=7_439_608, macs=965_572_864)
# fmt: on

"""Network in network for ImageNet, as "Dive into Deep Learning" builds it.

[1] Lin 2013, arXiv:1312.4400
[2] Zhang 2021, arXiv:2106.11342 (Dive into Deep Learning), section 8.3, and the lectures that print its maps

`nin` is the network for 224x224 pixels that [2] derives from [1], with AlexNet's first convolutions.

Departure from the papers: kernels have He's initialisation by fan-in, as in pytorchcv. Without normalisation, by
fan-out the signal would fade in the first layer, which has few inputs. The code of [1] and [2] has others.
"""

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv_relu, max_pool

ZHANG = "arXiv:2106.11342"


def mlpconv(x, filters, kernel_size, *, strides=1, padding=None, name):
    """A convolution and 1x1 convolutions, of `filters`, each with a ReLU."""
    x = conv_relu(
        x, filters[0], kernel_size, strides=strides, padding=padding, name=f"{name}_conv1"
    )
    for i, width in enumerate(filters[1:], start=2):
        x = conv_relu(x, width, 1, name=f"{name}_conv{i}")
    return x


def last_mlpconv(x, classes, activation):
    """The fourth block of [2]: dropout, an mlpconv of as many maps as classes, and global average pooling."""
    x = layers.Dropout(0.5, name="head_dropout")(x)
    x = mlpconv(x, (classes, classes), 3, name="head")
    return heads.class_map_pooling(x, classes, activation)


@image_family(minimum=67, padding="valid", head=last_mlpconv)
def body(x, *, filters=(96, 256, 384)):
    """Builds three mlpconv blocks of `filters`; the fourth belongs to the head."""
    x = mlpconv(x, filters[:1] * 3, 11, strides=4, padding="valid", name="stem")
    x = max_pool(x, padding="valid", name="level3_pool")
    x = mlpconv(x, filters[1:2] * 3, 5, name="level3")
    x = max_pool(x, padding="valid", name="level4_pool")
    x = mlpconv(x, filters[2:] * 3, 3, name="level4")
    return max_pool(x, padding="valid", name="level5_pool")


# fmt: off
#                                                     widths                                                                  trainable parameters and multiply-accumulates
nin       = variant(body,       "nin",       filters=(96, 256, 384),                                    paper=ZHANG, params=7_439_608, macs=965_572_864)
# fmt: on

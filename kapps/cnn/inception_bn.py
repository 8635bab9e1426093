"""Inception-BN, also known as Inception-v2.

[1] Ioffe 2015, arXiv:1502.03167, Figure 5    [2] Szegedy 2015, arXiv:1512.00567, section 3.1

It is GoogLeNet with batch norms, and with two 3x3 in place of a 5x5.

Departures from the papers:
- [1] counts 13.6M parameters; its Figure 5 has 11.3M, as has pytorchcv's network, which is the same as this one.
- The first 7x7 is an ordinary convolution, as in Figure 5 and pytorchcv; in the text of [1] it is separable, with 8
  filters for each channel.
- Convolutions keep their biases, which [1] says batch norm cancels (section 3.2): the pretrained weights have them.
- 3x3 average pooling counts the zeros of its padding, as in pytorchcv. A strided 3x3 and the pooling next to it are
  padded so that their sizes agree for odd maps too, which pytorchcv does not build.
- Images have the preprocessing of all families; the weights in circulation need blue before red, from 0 to 255, with
  the mean subtracted.
"""

from functools import partial

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.cnn.googlenet import CEIL_MODE
from kapps.layers import conv_bn, max_pool

IOFFE = "arXiv:1502.03167"

# fmt: off
FIGURE_5 = (
    # 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool, pool proj
    (64,   64,  64,  64,  96, "average",  32), (64,   64,  96,  64,  96, "average",  64),  # 3a, 3b
    (0,   128, 160,  64,  96, "max",       0),                                             # 3c
    (224,  64,  96,  96, 128, "average", 128), (192,  96, 128,  96, 128, "average", 128),  # 4a, 4b
    (160, 128, 160, 128, 160, "average", 128), (96,  128, 192, 160, 192, "average", 128),  # 4c, 4d
    (0,   128, 192, 192, 256, "max",       0),                                             # 4e
    (352, 192, 320, 160, 224, "average", 128), (352, 192, 320, 192, 224, "max",     128),  # 5a, 5b
)
# fmt: on

conv_bn_relu = partial(conv_bn, use_bias=True, activation="relu")


def average_pool(x, *, name):
    """3x3 average pooling that counts the zeros of its padding."""
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.AveragePooling2D(3, strides=1, name=name)(x)


def inception(x, filters, *, name):
    """1x1; 1x1, 3x3; 1x1, 3x3, 3x3; 3x3 pooling, 1x1. A module without the first branch has strides of 2."""
    f_1x1, f_3x3_reduce, f_3x3, f_double_reduce, f_double, pool, f_pool_proj = filters
    strides = 1 if f_1x1 else 2
    a = [conv_bn_relu(x, f_1x1, 1, name=f"{name}_1x1")] if f_1x1 else []
    b = conv_bn_relu(x, f_3x3_reduce, 1, name=f"{name}_3x3_reduce")
    b = conv_bn_relu(b, f_3x3, 3, strides=strides, name=f"{name}_3x3")
    c = conv_bn_relu(x, f_double_reduce, 1, name=f"{name}_double_reduce")
    c = conv_bn_relu(c, f_double, 3, name=f"{name}_double1")
    c = conv_bn_relu(c, f_double, 3, strides=strides, name=f"{name}_double2")
    if pool == "max":
        d = max_pool(x, strides=strides, padding="same", name=f"{name}_pool")
    elif pool == "average" and strides == 1:
        d = average_pool(x, name=f"{name}_pool")
    else:
        raise ValueError(
            f"{pool!r} is not a pooling with strides of {strides}: 'max', or 'average' with strides of 1"
        )
    if f_pool_proj:
        d = conv_bn_relu(d, f_pool_proj, 1, name=f"{name}_pool_proj")
    return layers.Concatenate(name=f"{name}_concat")([*a, b, c, d])


@image_family(minimum=15)
def body(x, *, modules=FIGURE_5):
    """Builds Inception-BN.

    Args:
        modules: a row of Figure 5 for each module: the filters of its convolutions, with 0 for a convolution that it
            does not have, and its pooling, "average" or "max". A module without its first 1x1 halves the resolution.
    """
    x = conv_bn_relu(x, 64, 7, strides=2, name="stem_conv1")
    x = max_pool(x, padding=CEIL_MODE, name="stem_pool")
    x = conv_bn_relu(x, 64, 1, name="stem_conv2")
    x = conv_bn_relu(x, 192, 3, name="stem_conv3")
    x = max_pool(x, padding=CEIL_MODE, name="level3_pool")
    strides = [1 if filters[0] else 2 for filters in modules]
    for filters, (_, _, name) in zip(
        modules, levels([1] * len(modules), first=2 + strides[0], strides=strides), strict=True
    ):
        x = inception(x, filters, name=name)
    return x


# fmt: off
#                                                                trainable parameters and multiply-accumulates
inception_bn = variant(body, "inception_bn", paper=IOFFE, params=11_295_240, macs=2_032_600_064)
# fmt: on

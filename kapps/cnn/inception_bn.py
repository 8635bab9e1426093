"""Inception-BN, the second version of GoogLeNet: batch norms, and two 3x3 for the 5x5.

[1] Ioffe 2015, arXiv:1502.03167, Figure 5    [2] Szegedy 2015, arXiv:1512.00567, section 3.1

Departures from the papers:
- [1] counts 13.6M parameters; its Figure 5 sums to the 11.3M of pytorchcv's network, which this one is.
- The first 7x7 is a plain one, as in Figure 5 and pytorchcv; [1]'s text has it separable, by 8 a channel.
- Convolutions keep biases, which [1] says batch norm cancels (section 3.2): the published weights have them.
- Means of 3x3 count the zeros beyond the edge, as pytorchcv's. A strided 3x3 and the pooling beside it are padded
  so that odd maps fit each other too, where pytorchcv's refuses them.
- Images are preprocessed as in all of kapps; the weights in circulation want blue before red, of 0 to 255 less
  the mean.
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.cnn.googlenet import OVER
from kapps.layers import batch_norm, conv, max_pool

IOFFE = "arXiv:1502.03167"

# fmt: off
MODULES = (
    # Figure 5 of [1]: 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool proj
    ((64,   64,  64,  64,  96,  32), (64,   64,  96,  64,  96,  64)),                                  # 3a, 3b
    ((0,   128, 160,  64,  96,   0), (224,  64,  96,  96, 128, 128), (192,  96, 128,  96, 128, 128),
     (160, 128, 160, 128, 160, 128), (96,  128, 192, 160, 192, 128)),                                  # 3c, 4a to 4d
    ((0,   128, 192, 192, 256,   0), (352, 192, 320, 160, 224, 128), (352, 192, 320, 192, 224, 128)),  # 4e, 5a, 5b
)
# fmt: on
POOLED_BY_MAXIMUM = ("level5_block3",)
"""5b's; other modules that keep their size pool by the mean."""


def convolution(x, filters, kernel_size, *, strides=1, name):
    """A convolution with biases, batch norm and ReLU."""
    x = conv(x, filters, kernel_size, strides=strides, use_bias=True, name=name)
    return batch_norm(x, activation="relu", name=f"{name}_bn")


def mean_pool(x, *, name):
    """The mean of each 3x3, zeros beyond the edge counted."""
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.AveragePooling2D(3, strides=1, name=name)(x)


def module(x, widths, *, name):
    """1x1; 1x1, 3x3; 1x1, 3x3, 3x3; pooling, 1x1: side by side. Without the first 1x1, it halves the map."""
    one, reduce3, three, reduce33, double, projected = widths
    strides = 1 if one else 2
    a = [convolution(x, one, 1, name=f"{name}_1x1")] if one else []
    b = convolution(x, reduce3, 1, name=f"{name}_3x3_reduce")
    b = convolution(b, three, 3, strides=strides, name=f"{name}_3x3")
    c = convolution(x, reduce33, 1, name=f"{name}_double_reduce")
    c = convolution(c, double, 3, name=f"{name}_double1")
    c = convolution(c, double, 3, strides=strides, name=f"{name}_double2")
    if one and name not in POOLED_BY_MAXIMUM:
        d = mean_pool(x, name=f"{name}_pool")
    else:
        d = max_pool(x, strides=strides, padding="same", name=f"{name}_pool")
    if projected:
        d = convolution(d, projected, 1, name=f"{name}_pool_proj")
    return layers.Concatenate(name=f"{name}_concat")([*a, b, c, d])


@image_family(minimum=15)
def body(x):
    """Inception-BN."""
    x = convolution(x, 64, 7, strides=2, name="stem_conv1")
    x = max_pool(x, padding=OVER, name="stem_pool")
    x = convolution(x, 64, 1, name="stem_conv2")
    x = convolution(x, 192, 3, name="stem_conv3")
    x = max_pool(x, padding=OVER, name="level3_pool")
    for level, rows in enumerate(MODULES, start=3):
        for i, widths in enumerate(rows, start=1):
            x = module(x, widths, name=f"level{level}_block{i}")
    return x


# fmt: off
#                                                                trainable parameters and multiply-accumulates
inception_bn = variant(body, "inception_bn", paper=IOFFE, params=11_295_240, macs=2_032_600_064)
# fmt: on

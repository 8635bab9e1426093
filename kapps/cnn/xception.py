"""Xception, a residual network of depthwise separable convolutions.

[1] Chollet 2016, arXiv:1610.02357, Figure 5, and its author's code, Keras Applications' Xception

A separable convolution is a 3x3 depthwise convolution and a 1x1, without an activation between them ([1], section 4.7).
Epsilon of the batch norms, 1e-3, and the padding of the strided poolings are those of the author's code.

Departure from the paper: batch norms have momentum 0.9, as in all families, not 0.99.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv_bn, depthwise, max_pool
from kapps.preprocessing import INCEPTION

CHOLLET = "arXiv:1610.02357"
EPSILON = 1e-3


def separable_conv(x, filters, *, activation=None, name):
    """3x3 depthwise convolution, 1x1 convolution and batch norm."""
    x = depthwise(x, 3, name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, activation=activation, epsilon=EPSILON, name=name)


def strided_block(x, filters, *, activate=True, name):
    """A block of the entry or exit flow: two separable convolutions, max pooling, and a projected shortcut."""
    y = x
    for i, width in enumerate(filters, start=1):
        if activate or i > 1:
            y = layers.Activation("relu", name=f"{name}_conv{i}_relu")(y)
        y = separable_conv(y, width, name=f"{name}_conv{i}")
    y = max_pool(y, negative=True, name=f"{name}_pool")
    x = conv_bn(x, filters[-1], 1, strides=2, epsilon=EPSILON, name=f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([x, y])


def middle_block(x, *, name):
    """A block of the middle flow: x plus three separable convolutions, each after a ReLU."""
    y = x
    for i in (1, 2, 3):
        y = layers.Activation("relu", name=f"{name}_conv{i}_relu")(y)
        y = separable_conv(y, x.shape[-1], name=f"{name}_conv{i}")
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(
    minimum=32, input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)), padding="same",
    head=partial(heads.global_average_pooling, dropout=0.5),
)  # fmt: skip
def body(x, *, middle=8):
    """Builds Xception with `middle` blocks in the middle flow; the head has dropout of 0.5 ([1], section 4.3)."""
    stem = partial(conv_bn, padding="valid", activation="relu", epsilon=EPSILON)
    x = stem(x, 32, 3, strides=2, name="stem_conv1")
    x = stem(x, 64, 3, name="stem_conv2")
    x = strided_block(x, (128, 128), activate=False, name="level2_block1")
    x = strided_block(x, (256, 256), name="level3_block1")
    x = strided_block(x, (728, 728), name="level4_block1")
    for i in range(middle):
        x = middle_block(x, name=f"level4_block{i + 2}")
    x = strided_block(x, (728, 1024), name="level5_block1")
    x = separable_conv(x, 1536, activation="relu", name="level5_conv1")
    return separable_conv(x, 2048, activation="relu", name="level5_conv2")


# fmt: off
#                                                                               trainable parameters and multiply-accumulates
xception = variant(body, "xception", middle=8, paper=CHOLLET, params=22_855_952, macs=8_357_403_496)
# fmt: on

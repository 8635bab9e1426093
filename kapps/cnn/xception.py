"""Xception: Inception taken to its extreme, a residual network of depthwise separable convolutions.

[1] Chollet 2016, arXiv:1610.02357, Figure 5, and its author's code, Keras Applications' Xception

A separable convolution is a 3x3 of each channel by itself and a 1x1, with nothing between them ([1], section
4.7). Epsilon of the batch norms, 1e-3, and the padding of the strided poolings are those of the author's code.

Departure from the paper: batch norms average with momentum 0.9, as in all of kapps, not 0.99.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import INCEPTION
from kapps.layers import conv_bn, depthwise

CHOLLET = "arXiv:1610.02357"
EPSILON = 1e-3


def separable(x, filters, *, activation=None, name):
    """3x3 of each channel, 1x1 across channels, batch norm."""
    x = depthwise(x, 3, name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, activation=activation, epsilon=EPSILON, name=name)


def block(x, filters, *, activate=True, name):
    """ReLU before each separable convolution of `filters`; their sum with x."""
    y = x
    for i, width in enumerate(filters, start=1):
        if activate or i > 1:
            y = layers.Activation("relu", name=f"{name}_conv{i}_relu")(y)
        y = separable(y, width, name=f"{name}_conv{i}")
    if len(filters) == 2:  # entry and exit flow: half the resolution, and a projection
        y = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(y)
        x = conv_bn(x, width, 1, strides=2, epsilon=EPSILON, name=f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([x, y])


@image_family(
    minimum=32, input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)),
    head=partial(heads.global_average_pooling, dropout=0.5),
)  # fmt: skip
def body(x, *, middle=8):
    """Xception with `middle` blocks in the middle flow; dropout of 0.5 before the classifier ([1], section 4.3)."""
    for i, (filters, strides) in enumerate(((32, 2), (64, 1)), start=1):
        x = conv_bn(
            x, filters, 3, strides=strides, padding="valid", activation="relu", epsilon=EPSILON,
            name=f"stem_conv{i}",
        )  # fmt: skip
    x = block(x, (128, 128), activate=False, name="level2_block1")
    x = block(x, (256, 256), name="level3_block1")
    x = block(x, (728, 728), name="level4_block1")
    for i in range(middle):
        x = block(x, (728, 728, 728), name=f"level4_block{i + 2}")
    x = block(x, (728, 1024), name="level5_block1")
    x = separable(x, 1536, activation="relu", name="level5_conv1")
    return separable(x, 2048, activation="relu", name="level5_conv2")


# fmt: off
#                                                                               trainable parameters and multiply-accumulates
xception = variant(body, "xception", middle=8, paper=CHOLLET, params=22_855_952, macs=8_357_403_496)
# fmt: on

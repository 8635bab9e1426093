"""Inception-v4.

[1] Szegedy 2016, arXiv:1602.07261, Figures 3 to 9, and its authors' code, whose weights timm has

Convolutions marked V in the figures, and all strided ones, are not padded: 299x299 pixels become 35x35, 17x17 and 8x8.

Departures from the paper:
- Where the authors' code has the 1x7 and 7x1 of a branch in another order than a figure, the order is the code's.
- Batch norms scale, as in timm, and have momentum 0.9, as in all families.
- There is no auxiliary classifier: the figures have none.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.inception_v3 import branch, concat, conv_bn_relu, expanded, reduction_pool
from kapps.preprocessing import INCEPTION

SZEGEDY = "arXiv:1602.07261"


def pool_branch(x, filters, *, name):
    """3x3 average pooling, without the zeros of its padding, and a 1x1."""
    x = layers.AveragePooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    return branch(x, (filters, 1), name=name)


def stem(x):
    """Figure 3, up to 35x35x384."""
    x = conv_bn_relu(x, 32, 3, strides=2, padding="valid", name="stem_conv1")
    x = conv_bn_relu(x, 32, 3, padding="valid", name="stem_conv2")
    x = conv_bn_relu(x, 64, 3, name="stem_conv3")

    name = "level2_block1"
    a = branch(x, (96, 3), strides=2, name=f"{name}_branch2")
    x = concat(reduction_pool(x, name=name), a, name=name)

    name = "level2_block2"
    a = branch(x, (64, 1), name=f"{name}_branch1")
    a = conv_bn_relu(a, 96, 3, padding="valid", name=f"{name}_branch1_conv2")
    b = branch(x, (64, 1), (64, (1, 7)), (64, (7, 1)), name=f"{name}_branch2")
    b = conv_bn_relu(b, 96, 3, padding="valid", name=f"{name}_branch2_conv4")
    x = concat(a, b, name=name)

    name = "level3_block1"
    a = branch(x, (192, 3), strides=2, name=f"{name}_branch1")
    return concat(a, reduction_pool(x, name=name), name=name)


def inception_a(x, *, name):
    """Figure 4: 1x1; 1x1, 3x3; 1x1, 3x3, 3x3; average pooling, 1x1."""
    a = branch(x, (96, 1), name=f"{name}_branch1")
    b = branch(x, (64, 1), (96, 3), name=f"{name}_branch2")
    c = branch(x, (64, 1), (96, 3), (96, 3), name=f"{name}_branch3")
    d = pool_branch(x, 96, name=f"{name}_branch4")
    return concat(a, b, c, d, name=name)


def reduction_a(x, klmn, *, name):
    """Figure 7 with k, l, m and n of Table 1: 3x3; 1x1, 3x3, 3x3; max pooling; with strides of 2."""
    first, second, third, single = klmn
    a = branch(x, (single, 3), strides=2, name=f"{name}_branch1")
    b = branch(x, (first, 1), (second, 3), (third, 3), strides=2, name=f"{name}_branch2")
    return concat(a, b, reduction_pool(x, name=name), name=name)


def inception_b(x, *, name):
    """Figure 5: 1x1; 1x1, 1x7, 7x1; 1x1 and 1x7, 7x1 twice; average pooling, 1x1."""
    a = branch(x, (384, 1), name=f"{name}_branch1")
    b = branch(x, (192, 1), (224, (1, 7)), (256, (7, 1)), name=f"{name}_branch2")
    c = branch(
        x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7)),
        name=f"{name}_branch3",
    )  # fmt: skip
    d = pool_branch(x, 128, name=f"{name}_branch4")
    return concat(a, b, c, d, name=name)


def reduction_b(x, *, name):
    """Figure 8: 1x1, 3x3; 1x1, 1x7, 7x1, 3x3; max pooling; with strides of 2."""
    a = branch(x, (192, 1), (192, 3), strides=2, name=f"{name}_branch1")
    b = branch(
        x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3), strides=2, name=f"{name}_branch2"
    )  # fmt: skip
    return concat(a, b, reduction_pool(x, name=name), name=name)


def inception_c(x, *, name):
    """Figure 6: 1x1; 1x1, expanded; 1x1, 3x1, 1x3, expanded; average pooling, 1x1."""
    a = branch(x, (256, 1), name=f"{name}_branch1")
    b = branch(x, (384, 1), name=f"{name}_branch2")
    b = expanded(b, 256, name=f"{name}_branch2")
    c = branch(x, (384, 1), (448, (3, 1)), (512, (1, 3)), name=f"{name}_branch3")
    c = expanded(c, 256, name=f"{name}_branch3")
    d = pool_branch(x, 256, name=f"{name}_branch4")
    return concat(a, b, c, d, name=name)


@image_family(
    minimum=75, padding="valid", input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)),
    head=partial(heads.global_average_pooling, dropout=0.2),
)  # fmt: skip
def body(x, *, depths):
    """Builds Inception-v4 with `depths` modules Inception-A, B and C, at the levels 3, 4 and 5."""
    x = stem(x)
    for i in range(depths[0]):
        x = inception_a(x, name=f"level3_block{i + 2}")
    x = reduction_a(x, (192, 224, 256, 384), name="level4_block1")
    for i in range(depths[1]):
        x = inception_b(x, name=f"level4_block{i + 2}")
    x = reduction_b(x, name="level5_block1")
    for i in range(depths[2]):
        x = inception_c(x, name=f"level5_block{i + 2}")
    return x


# fmt: off
#                                                             A, B, C                           trainable parameters and multiply-accumulates
inception_v4 = variant(body, "inception_v4", depths=(4, 7, 3), paper=SZEGEDY, params=42_679_816, macs=12_253_974_624)
# fmt: on

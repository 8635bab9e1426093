"""Inception-v4: a deeper and more uniform Inception-v3.

[1] Szegedy 2016, arXiv:1602.07261, Figures 3 to 9, and its authors' code, of which timm carries the weights

Convolutions marked V in the figures, and all that halve a map, are not padded: 299x299 becomes 35x35, 17x17, 8x8.

Departures from the paper:
- Where the authors' code orders the flat windows of a branch otherwise than a figure, the order is the code's.
- Batch norms scale, as timm's, and average with momentum 0.9, as in all of kapps.
- No auxiliary classifier: the figures have none.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import INCEPTION
from kapps.cnn.inception_v3 import both_ways, side_by_side
from kapps.layers import conv_bn, max_pool, tower

SZEGEDY = "arXiv:1602.07261"


def halve(x, *, name):
    """The largest of each 3x3, two pixels apart."""
    return max_pool(x, padding="valid", name=f"{name}_pool")


def mean_then_1x1(x, filters, *, name):
    """The mean of each 3x3, of the pixels that there are, and a 1x1 convolution."""
    x = layers.AveragePooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    return tower(x, (filters, 1), name=f"{name}_pool_conv")


def stem(x):
    """Figure 3, up to 35x35x384."""
    how = {"activation": "relu", "epsilon": 1e-3}
    x = conv_bn(x, 32, 3, strides=2, padding="valid", **how, name="stem_conv1")
    x = conv_bn(x, 32, 3, padding="valid", **how, name="stem_conv2")
    x = conv_bn(x, 64, 3, **how, name="stem_conv3")
    name = "level2_block1"
    x = side_by_side(
        halve(x, name=name), tower(x, (96, 3), strides=2, name=f"{name}_conv"), name=name
    )
    name = "level2_block2"
    a = tower(x, (64, 1), name=f"{name}_3x3_")
    b = tower(x, (64, 1), (64, (1, 7)), (64, (7, 1)), name=f"{name}_7x7_")
    ends = [
        conv_bn(y, 96, 3, padding="valid", **how, name=f"{name}_{each}_last")
        for each, y in (("3x3", a), ("7x7", b))
    ]
    x = side_by_side(*ends, name=name)
    name = "level3_block1"
    return side_by_side(
        tower(x, (192, 3), strides=2, name=f"{name}_conv"), halve(x, name=name), name=name
    )


def square(x, *, name):
    """Figure 4: 1x1; 3x3; two 3x3; a mean."""
    a = tower(x, (96, 1), name=f"{name}_1x1_")
    b = tower(x, (64, 1), (96, 3), name=f"{name}_3x3_")
    c = tower(x, (64, 1), (96, 3), (96, 3), name=f"{name}_double_")
    return side_by_side(a, b, c, mean_then_1x1(x, 96, name=name), name=name)


def flat(x, *, name):
    """Figure 5: 1x1; a 1x7 and a 7x1; two of each; a mean."""
    a = tower(x, (384, 1), name=f"{name}_1x1_")
    b = tower(x, (192, 1), (224, (1, 7)), (256, (7, 1)), name=f"{name}_7x7_")
    c = tower(
        x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7)),
        name=f"{name}_double_",
    )  # fmt: skip
    return side_by_side(a, b, c, mean_then_1x1(x, 128, name=name), name=name)


def wide(x, *, name):
    """Figure 6: 1x1; 1x3 beside 3x1, after a 1x1 and after a 3x1 and a 1x3; a mean."""
    a = tower(x, (256, 1), name=f"{name}_1x1_")
    b = both_ways(tower(x, (384, 1), name=f"{name}_3x3_"), 256, name=f"{name}_3x3_")
    c = tower(x, (384, 1), (448, (3, 1)), (512, (1, 3)), name=f"{name}_double_")
    c = both_ways(c, 256, name=f"{name}_double_")
    return side_by_side(a, b, c, mean_then_1x1(x, 256, name=name), name=name)


def to_level4(x, *, name):
    """Figure 7 with k, l, m, n = 192, 224, 256, 384."""
    a = tower(x, (384, 3), strides=2, name=f"{name}_3x3_")
    b = tower(x, (192, 1), (224, 3), (256, 3), strides=2, name=f"{name}_double_")
    return side_by_side(a, b, halve(x, name=name), name=name)


def to_level5(x, *, name):
    """Figure 8."""
    a = tower(x, (192, 1), (192, 3), strides=2, name=f"{name}_3x3_")
    b = tower(x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3), strides=2, name=f"{name}_7x7_")
    return side_by_side(a, b, halve(x, name=name), name=name)


@image_family(
    minimum=75, input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)),
    head=partial(heads.global_average_pooling, dropout=0.2),
)  # fmt: skip
def body(x, *, depths):
    """Inception-v4 of `depths` modules A, B and C, at levels 3, 4 and 5."""
    x = stem(x)
    for level, depth in enumerate(depths, start=3):
        if level > 3:
            x = (to_level4 if level == 4 else to_level5)(x, name=f"level{level}_block1")
        for i in range(2, depth + 2):
            x = {3: square, 4: flat, 5: wide}[level](x, name=f"level{level}_block{i}")
    return x


# fmt: off
#                                                             A, B, C                           trainable parameters and multiply-accumulates
inception_v4 = variant(body, "inception_v4", depths=(4, 7, 3), paper=SZEGEDY, params=42_679_816, macs=12_253_974_624)
# fmt: on

"""Inception-v3: windows factorised into smaller and into flat ones.

[1] Szegedy 2015, arXiv:1512.00567, and its authors' code, of which torchvision carries the layers and weights

Convolutions of the stem, and what halves a map, are not padded: 299x299 becomes 35x35, 17x17 and 8x8.

Departures from the paper, all of them its authors' code's:
- The stem is three 3x3, a pooling, a 1x1, a 3x3 and a pooling; Table 1 has no 1x1 and strides a 3x3 instead of
  the second pooling.
- The first three modules have a 5x5, where Figure 5 has two 3x3, next to the branch of two 3x3.
- The auxiliary classifier has a 5x5 convolution between its 1x1 and the dense layer.
Departures from that code:
- Means of 3x3 count the zeros beyond the edge, as torchvision's; the code's leave them out.
- Batch norms scale, as torchvision's, and average with momentum 0.9, as in all of kapps.
- Half of the features are dropped before the classifier, as in torchvision; the code drops a fifth.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import INCEPTION
from kapps.layers import conv_bn, max_pool, tower

SZEGEDY = "arXiv:1512.00567"

# fmt: off
STEM = (
    # filters, kernel size, strides, padded
    ("stem_conv1", 32, 3, 2, "valid"),
    ("stem_conv2", 32, 3, 1, "valid"),
    ("stem_conv3", 64, 3, 1, "same"),
    ("stem_pool", None, 3, 2, "valid"),
    ("stem_conv4", 80, 1, 1, "same"),
    ("stem_conv5", 192, 3, 1, "valid"),
)
# fmt: on


def stem(x):
    """Table 1's rows up to 35x35, the pooling to which is level 3's."""
    for name, filters, size, strides, padding in STEM:
        if filters is None:
            x = max_pool(x, size, strides=strides, padding=padding, name=name)
        else:
            how = {"strides": strides, "padding": padding, "activation": "relu", "epsilon": 1e-3}
            x = conv_bn(x, filters, size, **how, name=name)
    return max_pool(x, padding="valid", name="level3_pool")


def mean_then_1x1(x, filters, *, name):
    """The mean of each 3x3, zeros beyond the edge counted, and a 1x1 convolution."""
    x = layers.ZeroPadding2D(1, name=f"{name}_pool_pad")(x)
    x = layers.AveragePooling2D(3, strides=1, name=f"{name}_pool")(x)
    return tower(x, (filters, 1), name=f"{name}_pool_conv")


def side_by_side(*branches, name):
    """The channels of all branches."""
    return layers.Concatenate(name=f"{name}_concat")(branches)


def square(x, projected, *, name):
    """Figure 5: 1x1; 5x5; two 3x3; a mean."""
    a = tower(x, (64, 1), name=f"{name}_1x1_")
    b = tower(x, (48, 1), (64, 5), name=f"{name}_5x5_")
    c = tower(x, (64, 1), (96, 3), (96, 3), name=f"{name}_double_")
    return side_by_side(a, b, c, mean_then_1x1(x, projected, name=name), name=name)


def flat(x, inner, *, name):
    """Figure 6 with n = 7: 1x1; a 1x7 and a 7x1; two of each; a mean. Within, branches are `inner` wide."""
    a = tower(x, (192, 1), name=f"{name}_1x1_")
    b = tower(x, (inner, 1), (inner, (1, 7)), (192, (7, 1)), name=f"{name}_7x7_")
    c = tower(
        x, (inner, 1), (inner, (7, 1)), (inner, (1, 7)), (inner, (7, 1)), (192, (1, 7)),
        name=f"{name}_double_",
    )  # fmt: skip
    return side_by_side(a, b, c, mean_then_1x1(x, 192, name=name), name=name)


def both_ways(x, filters, *, name):
    """A 1x3 and a 3x1 beside each other."""
    across = tower(x, (filters, (1, 3)), name=f"{name}across")
    down = tower(x, (filters, (3, 1)), name=f"{name}down")
    return layers.Concatenate(name=f"{name}concat")([across, down])


def wide(x, *, name):
    """Figure 7: 1x1; 1x3 beside 3x1, after a 1x1 and after a 3x3; a mean."""
    a = tower(x, (320, 1), name=f"{name}_1x1_")
    b = tower(x, (384, 1), name=f"{name}_3x3_")
    b = both_ways(b, 384, name=f"{name}_3x3_")
    c = tower(x, (448, 1), (384, 3), name=f"{name}_double_")
    c = both_ways(c, 384, name=f"{name}_double_")
    return side_by_side(a, b, c, mean_then_1x1(x, 192, name=name), name=name)


def to_level4(x, *, name):
    """Figure 10: 3x3; two 3x3; the largest of each 3x3; two pixels apart."""
    a = tower(x, (384, 3), strides=2, name=f"{name}_3x3_")
    b = tower(x, (64, 1), (96, 3), (96, 3), strides=2, name=f"{name}_double_")
    return side_by_side(a, b, max_pool(x, padding="valid", name=f"{name}_pool"), name=name)


def to_level5(x, *, name):
    """3x3; a 1x7, a 7x1 and a 3x3; the largest of each 3x3; two pixels apart."""
    a = tower(x, (192, 1), (320, 3), strides=2, name=f"{name}_3x3_")
    b = tower(x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), strides=2, name=f"{name}_7x7_")
    return side_by_side(a, b, max_pool(x, padding="valid", name=f"{name}_pool"), name=name)


def auxiliary(x, classes, activation, name):
    """Means of 5x5, three apart, a 1x1 to 128, a 5x5 to 768, its mean and the classifier."""
    if None in x.shape[1:3] or min(x.shape[1:3]) < 17:
        raise ValueError(
            f"{name} takes a map of at least 17x17, and its map is {tuple(x.shape[1:3])}; "
            "give a larger input_shape, such as (299, 299, 3)"
        )
    x = layers.AveragePooling2D(5, strides=3, name=f"{name}_pool")(x)
    how = {"padding": "valid", "activation": "relu", "epsilon": 1e-3}
    x = conv_bn(x, 128, 1, **how, name=f"{name}_conv1")
    x = conv_bn(x, 768, 5, **how, name=f"{name}_conv2")
    x = layers.GlobalAveragePooling2D(name=f"{name}_mean")(x)
    return heads.classifier(x, classes, activation, logits=f"{name}_logits", predictions=name)


@image_family(
    minimum=75, input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)),
    head=partial(heads.global_average_pooling, dropout=0.5), auxiliary=auxiliary,
)  # fmt: skip
def body(x):
    """Inception-v3; the auxiliary classifier reads the last module of level 4."""
    x = stem(x)
    for i, projected in enumerate((32, 64, 64), start=1):
        x = square(x, projected, name=f"level3_block{i}")
    x = to_level4(x, name="level4_block1")
    for i, inner in enumerate((128, 160, 160, 192), start=2):
        x = flat(x, inner, name=f"level4_block{i}")
    observed = [x]
    x = to_level5(x, name="level5_block1")
    for i in (2, 3):
        x = wide(x, name=f"level5_block{i}")
    return x, observed


# fmt: off
#                                                                                  trainable parameters and multiply-accumulates
inception_v3 = variant(body, "inception_v3", paper=SZEGEDY, params=23_834_568, macs=5_713_216_096)
# fmt: on

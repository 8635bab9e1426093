"""Inception-v3.

[1] Szegedy 2015, arXiv:1512.00567, and its authors' code, whose layers and weights torchvision has

Blocks have the names of the papers on Inception: A, B and C are the modules of Figures 5, 6 and 7. Strided convolutions
and poolings, and most convolutions of the stem, are not padded: 299x299 pixels become 35x35, 17x17 and 8x8.

Departures from the paper, all of them the authors' code's:
- The stem is three 3x3, a max pooling, a 1x1, a 3x3 and a max pooling; Table 1 has no 1x1, and a strided 3x3 in place of
  the second pooling.
- Inception-A has a 5x5 where Figure 5 has two 3x3, next to the branch of two 3x3.
- The auxiliary classifier has a 5x5 convolution between its 1x1 and its dense layer.
Departures from that code:
- 3x3 average pooling counts the zeros of its padding, as in torchvision; the code does not count them.
- Batch norms scale, as in torchvision, and have momentum 0.9, as in all families.
- Dropout before the classifier is 0.5, as in torchvision; the code has 0.2.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import conv_bn, max_pool
from kapps.preprocessing import INCEPTION

SZEGEDY = "arXiv:1512.00567"

conv_bn_relu = partial(conv_bn, activation="relu", epsilon=1e-3)


def branch(x, *convolutions, strides=1, name, **norm):
    """Convolutions of (filters, kernel size), in order; the last has the strides.

    Layers are called `<name>_conv1`, `<name>_conv2` ... A strided convolution is not padded. `norm` has options of
    `batch_norm`.
    """
    *convolutions, (filters, kernel_size) = convolutions
    for i, (width, size) in enumerate(convolutions, start=1):
        x = conv_bn_relu(x, width, size, name=f"{name}_conv{i}", **norm)
    padding = "valid" if strides > 1 else None
    return conv_bn_relu(
        x, filters, kernel_size, strides=strides, padding=padding,
        name=f"{name}_conv{len(convolutions) + 1}", **norm,
    )  # fmt: skip


def concat(*branches, name):
    """The channels of all branches ("filter concat")."""
    return layers.Concatenate(name=f"{name}_concat")(branches)


def pool_branch(x, filters, *, name):
    """3x3 average pooling that counts the zeros of its padding, and a 1x1."""
    x = layers.ZeroPadding2D(1, name=f"{name}_pool_pad")(x)
    x = layers.AveragePooling2D(3, strides=1, name=f"{name}_pool")(x)
    return branch(x, (filters, 1), name=name)


def reduction_pool(x, *, name):
    """3x3 max pooling with strides of 2."""
    return max_pool(x, padding="valid", name=f"{name}_pool")


def expanded(x, filters, *, name):
    """The expanded filter bank of Figure 7: a 1x3 and a 3x1 that read the same features."""
    a = conv_bn_relu(x, filters, (1, 3), name=f"{name}_1x3")
    b = conv_bn_relu(x, filters, (3, 1), name=f"{name}_3x1")
    return concat(a, b, name=name)


def stem(x):
    """Table 1's rows up to 73x73x192 as in the authors' code."""
    x = conv_bn_relu(x, 32, 3, strides=2, padding="valid", name="stem_conv1")
    x = conv_bn_relu(x, 32, 3, padding="valid", name="stem_conv2")
    x = conv_bn_relu(x, 64, 3, name="stem_conv3")
    x = max_pool(x, padding="valid", name="stem_pool")
    x = conv_bn_relu(x, 80, 1, name="stem_conv4")
    return conv_bn_relu(x, 192, 3, padding="valid", name="stem_conv5")


def inception_a(x, pool_filters, *, name):
    """Figure 5: 1x1; 1x1, 5x5; 1x1, 3x3, 3x3; average pooling, 1x1."""
    a = branch(x, (64, 1), name=f"{name}_branch1")
    b = branch(x, (48, 1), (64, 5), name=f"{name}_branch2")
    c = branch(x, (64, 1), (96, 3), (96, 3), name=f"{name}_branch3")
    d = pool_branch(x, pool_filters, name=f"{name}_branch4")
    return concat(a, b, c, d, name=name)


def reduction_a(x, *, name):
    """Figure 10: 3x3; 1x1, 3x3, 3x3; max pooling; with strides of 2."""
    a = branch(x, (384, 3), strides=2, name=f"{name}_branch1")
    b = branch(x, (64, 1), (96, 3), (96, 3), strides=2, name=f"{name}_branch2")
    return concat(a, b, reduction_pool(x, name=name), name=name)


def inception_b(x, filters, *, name):
    """Figure 6 with n = 7: 1x1; 1x1, 1x7, 7x1; the same twice; average pooling, 1x1."""
    a = branch(x, (192, 1), name=f"{name}_branch1")
    b = branch(x, (filters, 1), (filters, (1, 7)), (192, (7, 1)), name=f"{name}_branch2")
    c = branch(
        x, (filters, 1), (filters, (7, 1)), (filters, (1, 7)), (filters, (7, 1)), (192, (1, 7)),
        name=f"{name}_branch3",
    )  # fmt: skip
    d = pool_branch(x, 192, name=f"{name}_branch4")
    return concat(a, b, c, d, name=name)


def reduction_b(x, *, name):
    """1x1, 3x3; 1x1, 1x7, 7x1, 3x3; max pooling; with strides of 2."""
    a = branch(x, (192, 1), (320, 3), strides=2, name=f"{name}_branch1")
    b = branch(
        x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), strides=2, name=f"{name}_branch2"
    )  # fmt: skip
    return concat(a, b, reduction_pool(x, name=name), name=name)


def inception_c(x, *, name):
    """Figure 7: 1x1; 1x1, expanded; 1x1, 3x3, expanded; average pooling, 1x1."""
    a = branch(x, (320, 1), name=f"{name}_branch1")
    b = branch(x, (384, 1), name=f"{name}_branch2")
    b = expanded(b, 384, name=f"{name}_branch2")
    c = branch(x, (448, 1), (384, 3), name=f"{name}_branch3")
    c = expanded(c, 384, name=f"{name}_branch3")
    d = pool_branch(x, 192, name=f"{name}_branch4")
    return concat(a, b, c, d, name=name)


def auxiliary(x, classes, activation, name):
    """5x5 average pooling with strides of 3, a 1x1 to 128, a 5x5 to 768, global average pooling and the classifier."""
    if None in x.shape[1:3] or min(x.shape[1:3]) < 17:
        raise ValueError(
            f"{name} needs a feature map of at least 17x17, not {tuple(x.shape[1:3])}; "
            "give a larger input_shape, such as (299, 299, 3)"
        )
    x = layers.AveragePooling2D(5, strides=3, name=f"{name}_pool")(x)
    x = conv_bn_relu(x, 128, 1, padding="valid", name=f"{name}_conv1")
    x = conv_bn_relu(x, 768, 5, padding="valid", name=f"{name}_conv2")
    x = layers.GlobalAveragePooling2D(name=f"{name}_mean")(x)
    return heads.classifier(x, classes, activation, logits=f"{name}_logits", predictions=name)


@image_family(
    minimum=75, padding="valid", input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)),
    head=partial(heads.global_average_pooling, dropout=0.5), auxiliary=auxiliary,
)  # fmt: skip
def body(x):
    """Builds Inception-v3. The auxiliary classifier reads the last module of level 4."""
    x = stem(x)
    x = max_pool(x, padding="valid", name="level3_pool")
    for i, pool_filters in enumerate((32, 64, 64), start=1):
        x = inception_a(x, pool_filters, name=f"level3_block{i}")
    x = reduction_a(x, name="level4_block1")
    for i, filters in enumerate((128, 160, 160, 192), start=2):
        x = inception_b(x, filters, name=f"level4_block{i}")
    auxiliary_inputs = [x]
    x = reduction_b(x, name="level5_block1")
    x = inception_c(x, name="level5_block2")
    x = inception_c(x, name="level5_block3")
    return x, auxiliary_inputs


# fmt: off
#                                                                                  trainable parameters and multiply-accumulates
inception_v3 = variant(body, "inception_v3", paper=SZEGEDY, params=23_834_568, macs=5_713_216_096)
# fmt: on

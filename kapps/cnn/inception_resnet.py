"""Inception-ResNet-v1 and v2.

[1] Szegedy 2016, arXiv:1602.07261, Figures 7 and 10 to 20, and its authors' code, whose version 2 timm has

A module adds its branches, after a linear 1x1 and times `scale` ([1], section 3.3: "scaling down the residuals"). The
scales of the code are 0.17, 0.10 and 0.20 at the levels 3, 4 and 5. The last module has a scale of 1 and no ReLU.
Strided convolutions and most of the stem are not padded: 299x299 pixels become 35x35, 17x17 and 8x8.

Departures from the paper:
- Version 2 is the authors' code, as in timm and Keras Applications. Its stem is that of Inception-v3, followed by one
  module, not that of Inception-v4. It has 10, 20 and 10 modules where Figure 15 has 5, 10 and 5. Its maps have 320,
  1088 and 2080 channels where the figures print 384, 1154 and 2048. A 1x1 to 1536 channels ends it.
- Version 1 has a sixth module without ReLU at level 5 where Figure 15 has five. pytorchcv has it too; its network
  ends in 512 features, for faces, while here the classifier reads the 1792 channels of Figure 15.
- Batch norms scale, as in timm, and have momentum 0.9, as in all families.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cnn.inception_v3 import branch, concat, conv_bn_relu, reduction_pool, stem
from kapps.cnn.inception_v4 import pool_branch, reduction_a
from kapps.layers import conv, max_pool
from kapps.preprocessing import INCEPTION

SZEGEDY = "arXiv:1602.07261"


def inception_resnet(x, *branches, scale, activation="relu", name):
    """x plus `scale` times a linear 1x1 of the branches, and the activation."""
    y = concat(*branches, name=name)
    y = conv(y, x.shape[-1], 1, use_bias=True, name=f"{name}_linear")
    if scale != 1:
        y = layers.Rescaling(scale, name=f"{name}_scale")(y)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation(activation, name=f"{name}_out")(x) if activation else x


def inception_resnet_a(x, filters, *, scale, name):
    """Figures 10 and 16: 1x1; 1x1, 3x3; 1x1, 3x3, 3x3 of `filters`."""
    first, second, third = filters
    a = branch(x, (32, 1), name=f"{name}_branch1")
    b = branch(x, (32, 1), (32, 3), name=f"{name}_branch2")
    c = branch(x, (first, 1), (second, 3), (third, 3), name=f"{name}_branch3")
    return inception_resnet(x, a, b, c, scale=scale, name=name)


def inception_resnet_b(x, filters, *, scale, name):
    """Figures 11 and 17: 1x1; 1x1, 1x7, 7x1."""
    single, first, second, third = filters
    a = branch(x, (single, 1), name=f"{name}_branch1")
    b = branch(x, (first, 1), (second, (1, 7)), (third, (7, 1)), name=f"{name}_branch2")
    return inception_resnet(x, a, b, scale=scale, name=name)


def reduction_b(x, filters, *, name):
    """Figures 12 and 18: 1x1, 3x3; 1x1, 3x3; 1x1, 3x3, 3x3; max pooling; with strides of 2."""
    single, first, second = filters
    a = branch(x, (256, 1), (384, 3), strides=2, name=f"{name}_branch1")
    b = branch(x, (256, 1), (single, 3), strides=2, name=f"{name}_branch2")
    c = branch(x, (256, 1), (first, 3), (second, 3), strides=2, name=f"{name}_branch3")
    return concat(a, b, c, reduction_pool(x, name=name), name=name)


def inception_resnet_c(x, filters, *, scale, activation="relu", name):
    """Figures 13 and 19: 1x1; 1x1, 1x3, 3x1 of `filters`."""
    first, second, third = filters
    a = branch(x, (192, 1), name=f"{name}_branch1")
    b = branch(x, (first, 1), (second, (1, 3)), (third, (3, 1)), name=f"{name}_branch2")
    return inception_resnet(x, a, b, scale=scale, activation=activation, name=name)


def stem_v1(x):
    """Figure 14: the stem of Inception-v3, and a 3x3 to 256 with strides of 2."""
    return conv_bn_relu(stem(x), 256, 3, strides=2, padding="valid", name="level3_conv")


def stem_v2(x):
    """The stem of Inception-v3, max pooling, and Inception-A: 1x1; 1x1, 5x5; 1x1, 3x3, 3x3; average pooling, 1x1."""
    x = max_pool(stem(x), padding="valid", name="level3_pool")
    name = "level3_block0"
    a = branch(x, (96, 1), name=f"{name}_branch1")
    b = branch(x, (48, 1), (64, 5), name=f"{name}_branch2")
    c = branch(x, (64, 1), (96, 3), (96, 3), name=f"{name}_branch3")
    d = pool_branch(x, 64, name=f"{name}_branch4")
    return concat(a, b, c, d, name=name)


@image_family(
    minimum=75, padding="valid", input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)),
    head=partial(heads.global_average_pooling, dropout=0.2),
)  # fmt: skip
def body(x, *, stem, depths, a, b, c, klmn, reduction, features=0):
    """Builds Inception-ResNet.

    Args:
        stem: `stem_v1` or `stem_v2`, up to level 3.
        depths: number of modules A, B and C, at the levels 3, 4 and 5.
        a: filters of Inception-ResNet-A that differ between the versions.
        b: filters of Inception-ResNet-B.
        c: filters of Inception-ResNet-C.
        klmn: filters of Reduction-A, Table 1 of [1].
        reduction: filters of Reduction-B.
        features: filters of a 1x1 after the last module, or 0 for none.
    """
    x = stem(x)
    for i in range(depths[0]):
        x = inception_resnet_a(x, a, scale=0.17, name=f"level3_block{i + 1}")
    x = reduction_a(x, klmn, name="level4_block0")
    for i in range(depths[1]):
        x = inception_resnet_b(x, b, scale=0.10, name=f"level4_block{i + 1}")
    x = reduction_b(x, reduction, name="level5_block0")
    for i in range(depths[2] - 1):
        x = inception_resnet_c(x, c, scale=0.20, name=f"level5_block{i + 1}")
    x = inception_resnet_c(x, c, scale=1, activation=None, name=f"level5_block{depths[2]}")
    return conv_bn_relu(x, features, 1, name="level5_conv") if features else x


# fmt: off
#                                                                          modules              A                      B                          C                     Reduction-A: k, l, m, n    Reduction-B                                                trainable parameters and multiply-accumulates
inception_resnet_v1 = variant(body, "inception_resnet_v1", stem=stem_v1, depths=(5, 10, 6),   a=(32, 32, 32), b=(128, 128, 128, 128), c=(192, 192, 192), klmn=(192, 192, 256, 384), reduction=(256, 256, 256),                paper=SZEGEDY, params=24_357_096, macs=6_308_597_856)
inception_resnet_v2 = variant(body, "inception_resnet_v2", stem=stem_v2, depths=(10, 20, 10), a=(32, 48, 64), b=(192, 128, 160, 192), c=(192, 224, 256), klmn=(256, 256, 384, 384), reduction=(288, 288, 320), features=1536, paper=SZEGEDY, params=55_843_464, macs=13_155_794_016)
# fmt: on

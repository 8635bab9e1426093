"""Inception-ResNet: Inception's branches, what they find added to what they read.

[1] Szegedy 2016, arXiv:1602.07261, Figures 10 to 20, and its authors' code, of which timm carries version 2

A module adds `scale` times what its branches and a linear 1x1 give, "scaling down the residuals" ([1], section
3.3): 0.17, 0.10 and 0.20 at levels 3, 4 and 5, as in the code. The last module adds all of it and has no ReLU.
Convolutions of the stem, and what halves a map, are not padded: 299x299 becomes 35x35, 17x17 and 8x8.

Departures from the paper:
- Version 2 is the authors' code, timm's and Keras Applications': its stem is Inception-v3's with a module of that
  network, not Inception-v4's; it has 10, 20 and 10 modules where Figure 15 has 5, 10 and 5; a map's channels are
  320, 1088 and 2080 where the figures print 384, 1154 and 2048; and a 1x1 to 1536 ends it.
- Version 1 has a sixth module at level 5, the one without ReLU, where Figure 15 has five; so has pytorchcv, which
  ends in the 512 features of its use on faces; here the classifier reads the 1792 of Figure 15.
- Batch norms scale, as timm's, and average with momentum 0.9, as in all of kapps.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import INCEPTION
from kapps.layers import conv, conv_bn, max_pool, tower

SZEGEDY = "arXiv:1602.07261"
SCALES = (0.17, 0.10, 0.20)
"""Of the residuals at levels 3, 4 and 5."""

# Branches of (filters, kernel size). Of the modules at levels 3, 4 and 5: Figures 10, 11 and 13, 16, 17 and 19.
# fmt: off
MODULES_1 = (
    (((32, 1),),  ((32, 1),  (32, 3)),                          ((32, 1), (32, 3), (32, 3))),
    (((128, 1),), ((128, 1), (128, (1, 7)), (128, (7, 1)))),
    (((192, 1),), ((192, 1), (192, (1, 3)), (192, (3, 1)))),
)
MODULES_2 = (
    (((32, 1),),  ((32, 1),  (32, 3)),                          ((32, 1), (48, 3), (64, 3))),
    (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
)
# Of what leads to levels 4 and 5: Figures 7 and 12, 7 and 18.
REDUCTIONS_1 = (
    (((384, 3),), ((192, 1), (192, 3), (256, 3))),
    (((256, 1), (384, 3)), ((256, 1), (256, 3)), ((256, 1), (256, 3), (256, 3))),
)
REDUCTIONS_2 = (
    (((384, 3),), ((256, 1), (256, 3), (384, 3))),
    (((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3))),
)
# fmt: on


def branches(x, rows, *, strides=1, name):
    """Each branch's convolutions in a row, the last with the strides: a list."""
    return [
        tower(x, *steps, strides=strides, name=f"{name}_branch{i}_conv")
        for i, steps in enumerate(rows, start=1)
    ]


def residual(x, rows, *, scale, activate=True, name):
    """relu(x + scale * F(x)), F the branches and a linear 1x1."""
    y = layers.Concatenate(name=f"{name}_concat")(branches(x, rows, name=name))
    y = conv(y, x.shape[-1], 1, use_bias=True, name=f"{name}_linear")
    if scale != 1:
        y = layers.Rescaling(scale, name=f"{name}_scale")(y)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(x) if activate else x


def reduction(x, rows, *, name):
    """Branches that end two pixels apart, and the largest of each 3x3."""
    ends = branches(x, rows, strides=2, name=name)
    return layers.Concatenate(name=f"{name}_concat")(
        [*ends, max_pool(x, padding="valid", name=f"{name}_pool")]
    )


def convolution(x, filters, kernel_size, *, strides=1, padding="valid", name):
    """A convolution of the stem, with batch norm and ReLU."""
    how = {"strides": strides, "padding": padding, "activation": "relu", "epsilon": 1e-3}
    return conv_bn(x, filters, kernel_size, **how, name=name)


def stem(x):
    """Figure 14 up to 71x71x192."""
    x = convolution(x, 32, 3, strides=2, name="stem_conv1")
    x = convolution(x, 32, 3, name="stem_conv2")
    x = convolution(x, 64, 3, padding="same", name="stem_conv3")
    x = max_pool(x, padding="valid", name="stem_pool")
    x = convolution(x, 80, 1, name="stem_conv4")
    return convolution(x, 192, 3, name="stem_conv5")


def strided(x):
    """Figure 14's last row: a 3x3 to 256, two pixels apart."""
    return convolution(x, 256, 3, strides=2, name="level3_conv")


def pooled(x):
    """The largest of each 3x3, two pixels apart, and a module of Inception-v3: 1x1; 5x5; two 3x3; a mean."""
    x = max_pool(x, padding="valid", name="level3_pool")
    rows = (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)))
    name = "level3_block0"
    mean = layers.AveragePooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    mean = tower(mean, (64, 1), name=f"{name}_pool_conv")
    return layers.Concatenate(name=f"{name}_concat")([*branches(x, rows, name=name), mean])


@image_family(
    minimum=75, input_shape=(299, 299, 3), preprocessing=INCEPTION.at((299, 299)),
    head=partial(heads.global_average_pooling, dropout=0.2),
)  # fmt: skip
def body(x, *, to_level3, depths, modules, reductions, features=0):
    """Inception-ResNet of `depths` modules at levels 3, 4 and 5.

    `modules` are the branches of one at each level, `reductions` those that lead to levels 4 and 5, `to_level3`
    what leads there, and `features`, if any, the width of a 1x1 that ends the network.
    """
    x = to_level3(stem(x))
    for level, (depth, rows, scale) in enumerate(
        zip(depths, modules, SCALES, strict=True), start=3
    ):
        if level > 3:
            x = reduction(x, reductions[level - 4], name=f"level{level}_block0")
        for i in range(1, depth + 1):
            last = level == 5 and i == depth
            x = residual(
                x, rows, scale=1 if last else scale, activate=not last,
                name=f"level{level}_block{i}",
            )  # fmt: skip
    return convolution(x, features, 1, name="level5_conv") if features else x


# fmt: off
#                                                                                          modules at levels 3 to 5                                                                                       trainable parameters and multiply-accumulates
inception_resnet_v1 = variant(body, "inception_resnet_v1", to_level3=strided, depths=(5, 10, 6),   modules=MODULES_1, reductions=REDUCTIONS_1,                paper=SZEGEDY, params=24_357_096, macs=6_308_597_856)
inception_resnet_v2 = variant(body, "inception_resnet_v2", to_level3=pooled,  depths=(10, 20, 10), modules=MODULES_2, reductions=REDUCTIONS_2, features=1536, paper=SZEGEDY, params=55_843_464, macs=13_155_794_016)
# fmt: on

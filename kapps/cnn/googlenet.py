"""GoogLeNet, also known as Inception-v1.

[1] Szegedy 2014, arXiv:1409.4842, and the constants of Caffe's "bvlc_googlenet"

Departures from the paper:
- [1] gives no constants of local response normalisation. They are Caffe's: 5 channels, k = 1, alpha = 1e-4 of their
  mean, beta = 0.75.
- Table 1 gives the first convolution 2.7K parameters and 34M operations; a 7x7 from 3 channels to 64, as the same row
  says, has 9.4K and 118M.
- Poolings begin at the first pixel and their last window may overlap the edge, as in the authors' framework. For an
  even map, as at 224x224, that is "same" padding.
- The auxiliary classifiers read a map of 14x14 at 224x224 pixels. At another size their dense layer has another number
  of inputs. A map below 5x5 raises ValueError.
- Images have mean and deviation 0.5, as torchvision's weights need; [1] subtracts a mean.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import LocalResponseNormalization, conv_relu, max_pool
from kapps.preprocessing import INCEPTION

SZEGEDY = "arXiv:1409.4842"
CEIL_MODE = (0, 1)
"""Padding of a pooling whose last window may overlap the edge."""

# fmt: off
TABLE_1 = (
    # 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
    ((64,  96, 128,  16, 32,  32), (128, 128, 192, 32, 96,  64)),                                # level 3: 3a, 3b
    ((192, 96, 208,  16, 48,  64), (160, 112, 224, 24, 64,  64), (128, 128, 256, 24, 64, 64),
     (112, 144, 288, 32, 64,  64), (256, 160, 320, 32, 128, 128)),                               # level 4: 4a to 4e
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),                              # level 5: 5a, 5b
)
# fmt: on
AUXILIARY = ("level4_block1", "level4_block4")
"""The modules 4a and 4d of [1], which the auxiliary classifiers read."""


def lrn(x, *, name):
    """Local response normalisation."""
    return LocalResponseNormalization(k=1.0, size=5, alpha=1e-4 / 5, beta=0.75, name=name)(x)


def inception(x, filters, *, conv, kernel_size=5, name):
    """Figure 2(b): 1x1; 1x1, 3x3; 1x1, 5x5; 3x3 max pooling, 1x1. `kernel_size` is that of the 5x5."""
    f_1x1, f_3x3_reduce, f_3x3, f_5x5_reduce, f_5x5, f_pool_proj = filters
    a = conv(x, f_1x1, 1, name=f"{name}_1x1")
    b = conv(x, f_3x3_reduce, 1, name=f"{name}_3x3_reduce")
    b = conv(b, f_3x3, 3, name=f"{name}_3x3")
    c = conv(x, f_5x5_reduce, 1, name=f"{name}_5x5_reduce")
    c = conv(c, f_5x5, kernel_size, name=f"{name}_5x5")
    d = max_pool(x, strides=1, name=f"{name}_pool")
    d = conv(d, f_pool_proj, 1, name=f"{name}_pool_proj")
    return layers.Concatenate(name=f"{name}_concat")([a, b, c, d])


def inception_modules(x, *, conv, kernel_size=5, last_pool=3):
    """The nine modules, with max pooling before each level.

    Returns the features, and the list of the feature maps that the auxiliary classifiers read.
    """
    auxiliary_inputs = []
    for level, modules in enumerate(TABLE_1, start=3):
        size = last_pool if level == 5 else 3
        x = max_pool(x, size, padding=CEIL_MODE, name=f"level{level}_pool")
        for i, filters in enumerate(modules, start=1):
            name = f"level{level}_block{i}"
            x = inception(x, filters, conv=conv, kernel_size=kernel_size, name=name)
            if name in AUXILIARY:
                auxiliary_inputs.append(x)
    return x, auxiliary_inputs


def auxiliary(x, classes, activation, name, *, conv):
    """5x5 average pooling with strides of 3, a 1x1 to 128, a dense layer, dropout of 0.7 and the classifier."""
    if None in x.shape[1:3] or min(x.shape[1:3]) < 5:
        raise ValueError(
            f"{name} needs a feature map of at least 5x5, not {tuple(x.shape[1:3])}; "
            "give a larger input_shape, such as (224, 224, 3)"
        )
    x = layers.AveragePooling2D(5, strides=3, name=f"{name}_pool")(x)
    x = conv(x, 128, 1, name=f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, activation="relu", name=f"{name}_dense")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return heads.classifier(x, classes, activation, logits=f"{name}_logits", predictions=name)


@image_family(
    minimum=31, preprocessing=INCEPTION, head=partial(heads.global_average_pooling, dropout=0.4),
    auxiliary=partial(auxiliary, conv=conv_relu),
)  # fmt: skip
def body(x):
    """Builds GoogLeNet."""
    x = conv_relu(x, 64, 7, strides=2, name="stem_conv1")
    x = max_pool(x, padding=CEIL_MODE, name="stem_pool")
    x = lrn(x, name="stem_norm1")
    x = conv_relu(x, 64, 1, name="stem_conv2")
    x = conv_relu(x, 192, 3, name="stem_conv3")
    x = lrn(x, name="stem_norm2")
    return inception_modules(x, conv=conv_relu)


# fmt: off
#                                                            windows                    trainable parameters and multiply-accumulates
googlenet        = variant(body,    "googlenet",                               paper=SZEGEDY, params=6_998_552, macs=1_582_671_872)
# fmt: on

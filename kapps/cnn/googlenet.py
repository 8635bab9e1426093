"""GoogLeNet: modules that look at each place through several windows at once.

[1] Szegedy 2014, arXiv:1409.4842, and the constants of Caffe's "bvlc_googlenet"

Departures from the paper:
- [1] names no constants of the local response normalization; those are Caffe's: 5 channels, k 1, alpha 1e-4 of
  their mean, beta 0.75.
- Table 1 gives the first convolution 2.7K parameters and 34M operations; a 7x7 from 3 channels to 64, as the same
  row says, has 9.4K and 118M.
- Poolings begin at the first pixel and the last may reach over the edge, as in its authors' framework; where a map
  is even, as at 224x224, that is "same" padding.
- Where the auxiliary classifiers read, a map is 14x14 at 224x224. At another size their dense layer has another
  number of inputs, and a map below 5x5 is refused.
- Images have mean and deviation 0.5, as torchvision's weights want them; [1] subtracts a mean.
"""

from functools import partial

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.cards import INCEPTION
from kapps.layers import LocalResponseNormalization, conv_relu, max_pool

SZEGEDY = "arXiv:1409.4842"

# fmt: off
MODULES = (
    # Table 1 of [1]: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
    ((64,  96, 128,  16, 32,  32), (128, 128, 192, 32, 96,  64)),                                # level 3: 3a, 3b
    ((192, 96, 208,  16, 48,  64), (160, 112, 224, 24, 64,  64), (128, 128, 256, 24, 64, 64),
     (112, 144, 288, 32, 64,  64), (256, 160, 320, 32, 128, 128)),                               # level 4: 4a to 4e
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),                              # level 5: 5a, 5b
)
# fmt: on
OVER = (0, 1)
"""The padding of a pooling whose last window may reach over the edge."""
OBSERVED = ("level4_block1", "level4_block4")
"""The modules, 4a and 4d of [1], whose features the auxiliary classifiers read."""


def normalise(x, *, name):
    """Local response normalization."""
    return LocalResponseNormalization(k=1.0, size=5, alpha=1e-4 / 5, beta=0.75, name=name)(x)


def module(x, widths, convolution, *, window=5, name):
    """1x1; 1x1 and 3x3; 1x1 and 5x5; the largest of each 3x3 and 1x1: side by side."""
    one, reduce3, three, reduce5, five, projected = widths
    a = convolution(x, one, 1, name=f"{name}_1x1")
    b = convolution(x, reduce3, 1, name=f"{name}_3x3_reduce")
    b = convolution(b, three, 3, name=f"{name}_3x3")
    c = convolution(x, reduce5, 1, name=f"{name}_5x5_reduce")
    c = convolution(c, five, window, name=f"{name}_5x5")
    d = max_pool(x, strides=1, name=f"{name}_pool")
    d = convolution(d, projected, 1, name=f"{name}_pool_proj")
    return layers.Concatenate(name=f"{name}_concat")([a, b, c, d])


def modules(x, convolution, *, window=5, last_pool=3):
    """The nine modules, a pooling before each level, and the maps that the auxiliary classifiers read."""
    observed = []
    for level, rows in enumerate(MODULES, start=3):
        x = max_pool(x, last_pool if level == 5 else 3, padding=OVER, name=f"level{level}_pool")
        for i, widths in enumerate(rows, start=1):
            name = f"level{level}_block{i}"
            x = module(x, widths, convolution, window=window, name=name)
            if name in OBSERVED:
                observed.append(x)
    return x, observed


def auxiliary(x, classes, activation, name, *, convolution):
    """The means of 5x5, three apart, a 1x1 to 128, a dense layer of which 0.7 is dropped, and the classifier."""
    if None in x.shape[1:3] or min(x.shape[1:3]) < 5:
        raise ValueError(
            f"{name} takes means of 5x5 pixels, and its map is {tuple(x.shape[1:3])}; "
            "give a larger input_shape, such as (224, 224, 3)"
        )
    x = layers.AveragePooling2D(5, strides=3, name=f"{name}_pool")(x)
    x = convolution(x, 128, 1, name=f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, activation="relu", name=f"{name}_dense")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return heads.classifier(x, classes, activation, logits=f"{name}_logits", predictions=name)


@image_family(
    minimum=31, preprocessing=INCEPTION, head=partial(heads.global_average_pooling, dropout=0.4),
    auxiliary=partial(auxiliary, convolution=conv_relu),
)  # fmt: skip
def body(x):
    """GoogLeNet of the paper."""
    x = conv_relu(x, 64, 7, strides=2, name="stem_conv1")
    x = normalise(max_pool(x, padding=OVER, name="stem_pool"), name="stem_norm1")
    x = conv_relu(x, 64, 1, name="stem_conv2")
    x = conv_relu(x, 192, 3, name="stem_conv3")
    return modules(normalise(x, name="stem_norm2"), conv_relu)


# fmt: off
#                                                            windows                    trainable parameters and multiply-accumulates
googlenet        = variant(body,    "googlenet",                               paper=SZEGEDY, params=6_998_552, macs=1_582_671_872)
# fmt: on

"""DenseNet: each layer reads what all layers of its level before it made.

[1] Huang 2016, arXiv:1608.06993, and its authors' code

DenseNet-B has a 1x1 convolution before each 3x3, DenseNet-C halves the channels between levels, DenseNet-BC
both. On ImageNet [1] uses BC alone.

Departures from the paper:
- DenseNet-161 (k = 48) is the authors' code's and stands in later papers' tables; [1] prints 121 to 264.
- `densenet264_k48` is the wider one with which [1] is often compared.
- [1] drops 0.2 of each convolution's output where CIFAR is not augmented; `dropout=0.2` does, the default does not.
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import batch_norm, conv, conv_bn, max_pool

HUANG = "arXiv:1608.06993"


def preactivated(x, filters, kernel_size, *, dropout=0.0, name):
    """Batch norm, ReLU and convolution, in this order [1, section 3].

    He's initialisation goes by the fan-in here, as in torchvision: a 3x3 has 4 times fewer outputs than inputs,
    and by the fan-out a hundred layers at their start would grow beyond half precision.
    """
    x = batch_norm(x, activation="relu", name=f"{name}_norm")
    x = conv(x, filters, kernel_size, initializer="he_normal", name=name)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def layer(x, growth, *, bottleneck, dropout, name):
    """x and `growth` new channels beside it; k of [1] is `growth`, the 1x1 makes 4k."""
    y = x
    if bottleneck:
        y = preactivated(y, 4 * growth, 1, dropout=dropout, name=f"{name}_conv1")
    y = preactivated(y, growth, 3, dropout=dropout, name=f"{name}_conv2")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def block(x, depth, growth, *, bottleneck=True, dropout=0.0, level):
    """The `depth` layers of a level."""
    for i in range(depth):
        name = f"level{level}_block{i + 1}"
        x = layer(x, growth, bottleneck=bottleneck, dropout=dropout, name=name)
    return x


def transition(x, filters, *, dropout=0.0, level):
    """A 1x1 convolution at the level before, then the mean of each 2x2, into `level`."""
    x = preactivated(x, filters, 1, dropout=dropout, name=f"level{level - 1}_transition")
    return layers.AveragePooling2D(2, name=f"level{level}_pool")(x)


@image_family(minimum=32)
def body(x, *, depths, growth=32):
    """DenseNet-BC with `depths` layers at levels 2, 3, 4 ... of `growth` channels each."""
    x = conv_bn(x, 2 * growth, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, depth in enumerate(depths, start=2):
        if level > 2:
            x = transition(x, x.shape[-1] // 2, level=level)
        x = block(x, depth, growth, level=level)
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                      layers at levels 2 to 5   growth                trainable parameters and multiply-accumulates
densenet121     = variant(body, "densenet121",     depths=(6, 12, 24, 16),             paper=HUANG, params=7_978_856, macs=2_834_161_664)
densenet169     = variant(body, "densenet169",     depths=(6, 12, 32, 32),             paper=HUANG, params=14_149_480, macs=3_359_843_328)
densenet201     = variant(body, "densenet201",     depths=(6, 12, 48, 32),             paper=HUANG, params=20_013_928, macs=4_291_365_888)
densenet264     = variant(body, "densenet264",     depths=(6, 12, 64, 48),             paper=HUANG, params=33_337_704, macs=5_751_653_376)
densenet161     = variant(body, "densenet161",     depths=(6, 12, 36, 24), growth=48,  paper=HUANG, params=28_681_000, macs=7_727_907_072)
densenet264_k48 = variant(body, "densenet264_k48", depths=(6, 12, 64, 48), growth=48,  paper=HUANG, params=72_686_632, macs=12_850_693_632)
# fmt: on

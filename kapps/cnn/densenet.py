"""DenseNet for ImageNet.

[1] Huang 2016, arXiv:1608.06993, and its authors' code

DenseNet-B has a 1x1 convolution before each 3x3 (a bottleneck). DenseNet-C halves the channels between dense blocks.
DenseNet-BC, the only one that [1] trains on ImageNet, has both.

Departures from the paper:
- DenseNet-161 (growth rate 48) comes from the authors' code and appears in later papers' tables; [1] prints 121 to 264.
- `densenet264_k48` is the wider network that [1] is often compared with.
- [1] drops 0.2 of each convolution's output where CIFAR is not augmented: `dropout=0.2` in `densenet_cifar`.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import batch_norm, conv, conv_bn, max_pool

HUANG = "arXiv:1608.06993"


def bn_relu_conv(x, filters, kernel_size, *, dropout=0.0, name):
    """Batch norm, ReLU and convolution, in this order [1, section 3].

    The kernel has He's initialisation by fan-in, as in torchvision: a 3x3 has four times fewer outputs than inputs, and
    by fan-out the values of a hundred untrained layers would grow beyond half precision.
    """
    x = batch_norm(x, activation="relu", name=f"{name}_norm")
    x = conv(x, filters, kernel_size, initializer="he_normal", name=name)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def dense_layer(x, growth_rate, *, bottleneck=True, dropout=0.0, name):
    """Concatenates x with `growth_rate` new channels (k of [1]); the bottleneck has 4k."""
    y = x
    if bottleneck:
        y = bn_relu_conv(y, 4 * growth_rate, 1, dropout=dropout, name=f"{name}_conv1")
    y = bn_relu_conv(y, growth_rate, 3, dropout=dropout, name=f"{name}_conv2")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def transition(x, filters, *, dropout=0.0, level):
    """A 1x1 convolution and 2x2 average pooling, which leads to `level`."""
    x = bn_relu_conv(x, filters, 1, dropout=dropout, name=f"level{level - 1}_transition")
    return layers.AveragePooling2D(2, name=f"level{level}_pool")(x)


@image_family(minimum=32)
def body(x, *, depths, growth_rate=32):
    """Builds DenseNet-BC with a dense block of `depths` layers at each of the levels 2, 3, 4 ..."""
    x = conv_bn(x, 2 * growth_rate, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    for level, strides, name in levels(depths):
        if strides > 1:
            x = transition(x, x.shape[-1] // 2, level=level)
        x = dense_layer(x, growth_rate, name=name)
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                      layers at levels 2 to 5   growth                trainable parameters and multiply-accumulates
densenet121     = variant(body, "densenet121",     depths=(6, 12, 24, 16),             paper=HUANG, params=7_978_856, macs=2_834_161_664)
densenet169     = variant(body, "densenet169",     depths=(6, 12, 32, 32),             paper=HUANG, params=14_149_480, macs=3_359_843_328)
densenet201     = variant(body, "densenet201",     depths=(6, 12, 48, 32),             paper=HUANG, params=20_013_928, macs=4_291_365_888)
densenet264     = variant(body, "densenet264",     depths=(6, 12, 64, 48),             paper=HUANG, params=33_337_704, macs=5_751_653_376)
densenet161     = variant(body, "densenet161",     depths=(6, 12, 36, 24), growth_rate=48,  paper=HUANG, params=28_681_000, macs=7_727_907_072)
densenet264_k48 = variant(body, "densenet264_k48", depths=(6, 12, 64, 48), growth_rate=48,  paper=HUANG, params=72_686_632, macs=12_850_693_632)
# fmt: on

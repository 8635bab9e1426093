"""DPN: dual path networks, with one path that adds as ResNet does and one that concatenates as DenseNet does.

[1] Chen 2017, arXiv:1707.01629, and its authors' code

Batch norm and ReLU precede each convolution, the shortcut's projection included. Epsilon is the 1e-3 of the authors'
code. For DPN-68, 107 and 131 [1] gives only the size; their tables are those of the authors' code.

Departure from the paper: images have the preprocessing of all families; the authors' own weights need the authors'
mean and scale.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import batch_norm, conv, conv_bn, max_pool, split_channels

CHEN = "arXiv:1707.01629"
EPSILON = 1e-3


def bn_relu_conv(x, filters, kernel_size, *, strides=1, groups=1, name):
    """Batch norm, ReLU and convolution."""
    x = batch_norm(x, activation="relu", epsilon=EPSILON, name=f"{name}_norm")
    return conv(x, filters, kernel_size, strides=strides, groups=groups, name=name)


def dual_path_block(residual, dense, filters, *, bottleneck, growth, groups, strides, name):
    """Adds `filters` channels to the residual path and concatenates `growth` channels to the dense path.

    The first block of a level reads one map of the residual and dense paths, and projects it to both.
    """
    x = residual
    if dense is not None:
        x = layers.Concatenate(name=f"{name}_paths")([residual, dense])
    if dense is None or strides > 1:
        both = bn_relu_conv(x, filters + 2 * growth, 1, strides=strides, name=f"{name}_shortcut")
        residual, dense = split_channels(both, filters, name=f"{name}_shortcut")
    y = bn_relu_conv(x, bottleneck, 1, name=f"{name}_conv1")
    y = bn_relu_conv(y, bottleneck, 3, strides=strides, groups=groups, name=f"{name}_conv2")
    y = bn_relu_conv(y, filters + growth, 1, name=f"{name}_conv3")
    added, appended = split_channels(y, filters, name=f"{name}_split")
    residual = layers.Add(name=f"{name}_add")([residual, added])
    return residual, layers.Concatenate(name=f"{name}_concat")([dense, appended])


@image_family(minimum=32)
def body(x, *, depths, growths, bottleneck, groups, stem, stem_size=7, residual=256):
    """Builds a dual path network with `depths` blocks at levels 2 to 5.

    Args:
        depths: number of blocks at each level.
        growths: channels that a block of each level concatenates to the dense path.
        bottleneck: width of a bottleneck at level 2; each next level has twice as many.
        groups: of the 3x3 convolutions.
        stem: filters of the first convolution.
        stem_size: kernel size of the first convolution.
        residual: channels of the residual path at level 2; each next level has twice as many.
    """
    x = conv_bn(x, stem, stem_size, strides=2, activation="relu", epsilon=EPSILON, name="stem_conv")
    x, dense = max_pool(x, name="stem_pool"), None
    for level, strides, name in levels(depths):
        scale = 2 ** (level - 2)
        x, dense = dual_path_block(
            x, dense, residual * scale, bottleneck=bottleneck * scale, growth=growths[level - 2],
            groups=groups, strides=strides, name=name,
        )  # fmt: skip
    x = layers.Concatenate(name=f"level{level}_paths")([x, dense])
    return batch_norm(x, activation="relu", epsilon=EPSILON, name=f"level{level}_norm")


# fmt: off
#                                        blocks at levels 2 to 5   appended at each                    the 3x3             stem                                trainable parameters and multiply-accumulates
dpn68  = variant(body, "dpn68",  depths=(3, 4, 12, 3), growths=(16, 32, 32, 64),  bottleneck=128, groups=32, stem=10,  stem_size=3, residual=64, paper=CHEN, params=12_611_602, macs=2_326_163_456)
dpn92  = variant(body, "dpn92",  depths=(3, 4, 20, 3), growths=(16, 32, 24, 128), bottleneck=96,  groups=32, stem=64,                            paper=CHEN, params=37_668_392, macs=6_501_684_224)
dpn98  = variant(body, "dpn98",  depths=(3, 6, 20, 3), growths=(16, 32, 32, 128), bottleneck=160, groups=40, stem=96,                            paper=CHEN, params=61_570_728, macs=11_671_217_152)
dpn107 = variant(body, "dpn107", depths=(4, 8, 20, 3), growths=(20, 64, 64, 128), bottleneck=200, groups=50, stem=128,                           paper=CHEN, params=86_917_800, macs=18_298_764_288)
dpn131 = variant(body, "dpn131", depths=(4, 8, 28, 3), growths=(16, 32, 32, 128), bottleneck=160, groups=40, stem=128,                           paper=CHEN, params=79_254_504, macs=16_013_648_896)
# fmt: on

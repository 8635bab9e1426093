"""Dual path networks: some channels are added to, as in ResNet, others are appended to, as in DenseNet.

[1] Chen 2017, arXiv:1707.01629, and its authors' code

Batch norm and ReLU precede each convolution, and the shortcut's projection too; epsilon is the authors' code's
1e-3. Of DPN-68, 107 and 131 [1] gives the size alone; their tables are the authors' code's.

Departure: images are preprocessed as in all of kapps; the authors' own weights want their mean and scale.
"""

from keras import layers

from kapps.builders import image_family, variant
from kapps.layers import batch_norm, conv, conv_bn, max_pool, split_channels

CHEN = "arXiv:1707.01629"
EPSILON = 1e-3


def preactivated(x, filters, kernel_size, *, strides=1, groups=1, name):
    """Batch norm, ReLU and convolution."""
    x = batch_norm(x, activation="relu", epsilon=EPSILON, name=f"{name}_norm")
    return conv(x, filters, kernel_size, strides=strides, groups=groups, name=name)


def block(residual, dense, filters, *, inner, growth, groups, strides, first, name):
    """The pair of paths after one block: `filters` channels in the first, `growth` more in the second."""
    x = residual
    if dense is not None:
        x = layers.Concatenate(name=f"{name}_paths")([residual, dense])
    if first:
        both = preactivated(x, filters + 2 * growth, 1, strides=strides, name=f"{name}_shortcut")
        residual, dense = split_channels(both, filters, name=f"{name}_shortcut")
    y = preactivated(x, inner, 1, name=f"{name}_conv1")
    y = preactivated(y, inner, 3, strides=strides, groups=groups, name=f"{name}_conv2")
    y = preactivated(y, filters + growth, 1, name=f"{name}_conv3")
    added, appended = split_channels(y, filters, name=f"{name}_split")
    residual = layers.Add(name=f"{name}_add")([residual, added])
    return residual, layers.Concatenate(name=f"{name}_concat")([dense, appended])


@image_family(minimum=32)
def body(x, *, depths, growths, inner, groups, stem, stem_size=7, residual=256):
    """Dual path network of `depths` blocks at levels 2 to 5, in whose second path each appends `growths`.

    At level 2 a bottleneck is `inner` wide, in `groups`, and the first path `residual`; each next level has
    twice both.
    """
    x = conv_bn(x, stem, stem_size, strides=2, activation="relu", epsilon=EPSILON, name="stem_conv")
    x, dense = max_pool(x, name="stem_pool"), None
    for level, (depth, growth) in enumerate(zip(depths, growths, strict=True), start=2):
        for i in range(depth):
            x, dense = block(
                x, dense, residual, inner=inner, growth=growth, groups=groups,
                strides=2 if level > 2 and i == 0 else 1, first=i == 0, name=f"level{level}_block{i + 1}",
            )  # fmt: skip
        inner, residual = 2 * inner, 2 * residual
    x = layers.Concatenate(name=f"level{level}_paths")([x, dense])
    return batch_norm(x, activation="relu", epsilon=EPSILON, name=f"level{level}_norm")


# fmt: off
#                                        blocks at levels 2 to 5   appended at each                    the 3x3             stem                                trainable parameters and multiply-accumulates
dpn68  = variant(body, "dpn68",  depths=(3, 4, 12, 3), growths=(16, 32, 32, 64),  inner=128, groups=32, stem=10,  stem_size=3, residual=64, paper=CHEN, params=12_611_602, macs=2_326_163_456)
dpn92  = variant(body, "dpn92",  depths=(3, 4, 20, 3), growths=(16, 32, 24, 128), inner=96,  groups=32, stem=64,                            paper=CHEN, params=37_668_392, macs=6_501_684_224)
dpn98  = variant(body, "dpn98",  depths=(3, 6, 20, 3), growths=(16, 32, 32, 128), inner=160, groups=40, stem=96,                            paper=CHEN, params=61_570_728, macs=11_671_217_152)
dpn107 = variant(body, "dpn107", depths=(4, 8, 20, 3), growths=(20, 64, 64, 128), inner=200, groups=50, stem=128,                           paper=CHEN, params=86_917_800, macs=18_298_764_288)
dpn131 = variant(body, "dpn131", depths=(4, 8, 28, 3), growths=(16, 32, 32, 128), inner=160, groups=40, stem=128,                           paper=CHEN, params=79_254_504, macs=16_013_648_896)
# fmt: on

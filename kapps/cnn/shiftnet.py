"""ShiftNet: shifts of channels between 1x1 convolutions, in place of spatial convolutions.

[1] Wu 2017, arXiv:1711.08141

A and B have the table of [1] in a second implementation: the 1x1 convolutions of a unit are the only ones after the
stem. A unit with strides concatenates its input, averaged, with its branch, so that the branch adds the new channels
only. `expansion` counts from the channels that a branch adds. [1] counts from those of its input, which are as many
wherever the channels double.

C is a reading of the sources, not a confirmed network. [1] prints 0.78 million parameters, and its unit with this table
(1, 4, 4 and 3 units of 32 to 256 channels, expansion 1, 3x3) would have 0.70 million. Unknown are the channels of the
stem and how the first unit of a level changes the channels, as 32 to 32 channels cannot concatenate. Here that unit has
no shortcut and its branch has all channels: 784,136 parameters. With a projection there would be 0.763 million.

It is not known whether a batch norm follows the stem; there is none here.
"""

from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import Shift, average_pool, batch_norm, conv

WU = "arXiv:1711.08141"

# fmt: off
# Levels 2 to 5: shift size, expansion of the first unit, of the others, channels, units
A = (
    (5, 4, 4,  64, 5),
    (5, 4, 3, 128, 6),
    (3, 3, 2, 256, 7),
    (3, 2, 1, 512, 3),
)
B = (
    (5, 4, 4,  32, 5),
    (5, 4, 3,  64, 6),
    (3, 3, 2, 128, 7),
    (3, 2, 1, 256, 3),
)
C = (
    (3, 1, 1,  32, 1),
    (3, 1, 1,  64, 4),
    (3, 1, 1, 128, 4),
    (3, 1, 1, 256, 3),
)
# fmt: on


def csc(x, filters, *, kernel_size, expansion, strides, name):
    """Conv-shift-conv: 1x1, shift, 1x1, with batch norm and ReLU before each 1x1."""
    x = batch_norm(x, activation="relu", name=f"{name}_preact")
    x = conv(x, expansion * filters, 1, name=f"{name}_conv1")
    x = Shift(kernel_size, name=f"{name}_shift")(x)
    x = batch_norm(x, activation="relu", name=f"{name}_norm")
    return conv(x, filters, 1, strides=strides, name=f"{name}_conv2")


def unit(x, filters, *, concatenate, strides, name, **options):
    """x + CSC(x). With strides, its average and CSC(x) side by side, or CSC(x) without a shortcut."""
    if strides == 1:
        y = csc(x, filters, strides=1, **options, name=name)
        return layers.Add(name=f"{name}_add")([x, y])
    if not concatenate:
        return csc(x, filters, strides=strides, **options, name=name)
    y = csc(x, filters - x.shape[-1], strides=strides, **options, name=name)
    x = average_pool(x, name=f"{name}_shortcut")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


@image_family(minimum=32)
def body(x, *, stages, stem, concatenate=True):
    """Builds ShiftNet.

    Args:
        stages: (shift size, expansion of the first unit, of the others, channels, units) of each level from 2.
        stem: channels of the stem.
        concatenate: whether a unit with strides concatenates its averaged input.
    """
    x = conv(x, stem, 7, strides=2, name="stem_conv")
    for level, strides, name in levels([row[4] for row in stages], strides=2):
        kernel_size, first, others, filters, _ = stages[level - 2]
        x = unit(
            x, filters, kernel_size=kernel_size, expansion=first if strides > 1 else others,
            concatenate=concatenate, strides=strides, name=name,
        )  # fmt: skip
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


# fmt: off
#                                                                              trainable parameters and multiply-accumulates
shiftnet_a = variant(body, "shiftnet_a", stages=A, stem=32,                    paper=WU, params=4_188_680, macs=1_424_306_176)
shiftnet_b = variant(body, "shiftnet_b", stages=B, stem=16,                    paper=WU, params=1_183_480, macs=370_956_288)
shiftnet_c = variant(body, "shiftnet_c", stages=C, stem=32, concatenate=False, paper=WU, params=784_136,   macs=155_600_896)
# fmt: on

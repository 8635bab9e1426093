"""DelugeNet: each layer of a block reads all earlier layers of it by a cross-layer depthwise convolution.

[1] Kuen 2016, arXiv:1611.05552, and its authors' code

A block has sources: the output of its transition, and of each of its composite layers. A composite layer reads the sum
of all sources so far, each after a batch norm of its own, and its output becomes one more source; nothing is added to
its input. The number in a name is 3 for each composite layer, and the stem and the classifier. The 3x3 of a transition
does not count.

Departures from the paper:
- The widths and depths for ImageNet are those of the table in the authors' code, which gives the parameters that the
  authors print. The line of the code that reads the table raises an error.
- A transition has a batch norm and no ReLU before its convolution, as in the authors' code.
"""

from kapps.builders import image_family, levels, variant
from kapps.layers import CrossLayerDepthwiseConv2D, batch_norm, conv, conv_bn, max_pool

KUEN = "arXiv:1611.05552"


def cross_layer(sources, *, name):
    """The cross-layer depthwise convolution; of one source, the source."""
    if len(sources) == 1:
        return sources[0]
    return CrossLayerDepthwiseConv2D(name=f"{name}_cross")(sources)


def composite_layer(sources, filters, *, name):
    """The cross-layer convolution; then a 1x1, a 3x3 and a 1x1 to twice as many channels, after batch norm and ReLU."""
    x = cross_layer(sources, name=name)
    x = batch_norm(x, activation="relu", name=f"{name}_preact")
    x = conv_bn(x, filters, 1, activation="relu", name=f"{name}_conv1")
    x = conv_bn(x, filters, 3, activation="relu", name=f"{name}_conv2")
    return conv(x, 2 * filters, 1, name=f"{name}_conv3")


def transition(x, filters, *, name):
    """Batch norm, and a 3x3 with strides of 2: the first source of the next block."""
    x = batch_norm(x, name=f"{name}_norm")
    return conv(x, 2 * filters, 3, strides=2, name=f"{name}_conv")


def blocks(x, depths, filters, *, first):
    """Blocks of `depths` composite layers, at the levels `first`, `first` + 1 ..., and the last batch norm and ReLU.

    A map that has other channels than the composite layers is read by the first of them, and is not a source.
    """
    sources = [x]
    for level, strides, name in levels(depths, first=first):
        width = filters * 2 ** (level - first)
        if strides > 1:
            x = cross_layer(sources, name=f"level{level - 1}")
            sources = [transition(x, width, name=f"level{level}_block0")]
        y = composite_layer(sources, width, name=name)
        sources = [source for source in sources if source.shape[-1] == y.shape[-1]] + [y]
    x = cross_layer(sources, name=f"level{level}")
    return batch_norm(x, activation="relu", name=f"level{level}_norm")


@image_family(minimum=32)
def body(x, *, depths, filters=64):
    """Builds DelugeNet.

    Args:
        depths: number of composite layers at the levels 2, 3, 4 ...
        filters: of the 3x3 convolutions at level 2; each next level has twice as many.
    """
    x = conv_bn(x, 64, 7, strides=2, activation="relu", name="stem_conv")
    x = max_pool(x, name="stem_pool")
    x = conv(x, 2 * filters, 1, name="level2_conv")
    return blocks(x, depths, filters, first=2)


# fmt: off
#                                                    composite layers at levels 2 to 5     trainable parameters and multiply-accumulates
delugenet92  = variant(body, "delugenet92",  depths=(7, 7,  8,  8),  paper=KUEN, params=43_404_072, macs=5_847_932_928)
delugenet104 = variant(body, "delugenet104", depths=(7, 8,  9, 10),  paper=KUEN, params=51_353_896, macs=6_515_875_840)
delugenet122 = variant(body, "delugenet122", depths=(7, 9, 11, 13),  paper=KUEN, params=63_620_392, macs=7_517_790_208)
# fmt: on

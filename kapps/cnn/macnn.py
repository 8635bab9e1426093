"""MA-CNN: a VGG network that finds parts of an object and classifies each of them, for classes that differ in details.

[1] Zheng 2017, "Learning Multi-Attention Convolutional Neural Network for Fine-Grained Image Recognition", ICCV

This is the attention of [1]: the channels of the last map are grouped into parts, which are pooled and classified. In
training the loss of the parts' maps is added (see `kapps.layers.PartAttention`).

Departures from the paper, whose code is not public:
- The two dense layers that weight the channels of a part have as many units as the map has channels.
- The logits are the mean of the parts' logits. [1] has a loss for each part, and trains convolutions and parts in turn.
- Distances in the loss of the maps are fractions of the map's height and width, not pixels.
- The networks for crops of the parts are not included, nor is the first training of the groups by clusters of channels.
- The small network for CIFAR is not in [1].
"""

from keras import layers

from kapps import heads
from kapps.builders import image_family, variant
from kapps.layers import PartAttention, conv_relu, max_pool
from kapps.preprocessing import CIFAR10

ZHENG = "Zheng 2017, ICCV"


def channel_grouping(x, *, parts):
    """The weights of the channels in each part, (batch, parts, channels): two dense layers for each."""
    channels, groups = x.shape[-1], []
    x = heads.pool(x, "avg")
    for i in range(1, parts + 1):
        d = layers.Dense(channels, activation="tanh", name=f"head_part{i}_hidden")(x)
        d = layers.Dense(channels, activation="sigmoid", name=f"head_part{i}_weights")(d)
        groups.append(layers.Reshape((1, channels), name=f"head_part{i}_group")(d))
    return layers.Concatenate(axis=1, name="head_groups")(groups)


def part_classifiers(x, classes, activation, *, parts=4, grouping=1.0):
    """A classifier of each part's features, and the mean of their logits."""
    x = PartAttention(grouping, name="head_parts")([x, channel_grouping(x, parts=parts)])
    x = layers.EinsumDense(
        "bpc,pck->bpk", (parts, classes), bias_axes="pk", dtype="float32", name="head_part_logits"
    )(x)
    x = layers.GlobalAveragePooling1D(dtype="float32", name="head_mean")(x)
    x = layers.Activation("linear", dtype="float32", name="head_logits")(x)
    return layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


@image_family(
    minimum=32, input_shape=(448, 448, 3), classes=200, padding="valid", head=part_classifiers
)
def body(x, *, depths, filters=64):
    """Builds MA-CNN.

    Args:
        depths: number of convolutions at each of the levels 0, 1, 2 ...
        filters: of the convolutions at level 0; each next level has twice as many, but at most eight times as many.
    """
    for level, depth in enumerate(depths):
        if level > 0:
            x = max_pool(x, 2, padding="valid", name=f"level{level}_pool")
        for i in range(1, depth + 1):
            x = conv_relu(x, filters * min(2**level, 8), 3, name=f"level{level}_conv{i}")
    return x


SMALL = {"minimum": 8, "classes": 10, "preprocessing": CIFAR10}

# fmt: off
#                                                    convolutions at each level                    trainable parameters and multiply-accumulates
macnn       = variant(body, "macnn",       depths=(2, 2, 4, 4, 4),              paper=ZHENG, params=22_536_032, macs=78_039_433_216)
macnn_cifar = variant(body, "macnn_cifar", depths=(2, 2, 2), filters=32,        **SMALL, paper=ZHENG, params=424_264, macs=38_835_200)
# fmt: on

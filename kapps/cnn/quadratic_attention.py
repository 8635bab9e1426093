"""Self-attention in place of convolutions, for CIFAR: each head attends to a learned region around each pixel.

[1] Cordonnier 2020, arXiv:1911.03584, and its authors' code

Nine heads, as many as a 3x3 kernel has weights, each average the map with a Gaussian of learned centre and shape
(`kapps.layers.QuadraticAttention2D`), whatever the content of the pixels. Trained heads become the displacements of a
convolution's kernel (`kapps.layers.attention_as_conv`). The layers are otherwise those of BERT.

The input is folded to 2x2 pixels at each place, which is a 2x2 convolution with strides of 2. The network of three layers
is not in [1].
"""

from functools import partial

import keras
from keras import layers

from kapps.builders import image_family, levels, variant
from kapps.layers import FusedDense, QuadraticAttention2D, conv, layer_norm
from kapps.preprocessing import CIFAR10

CORDONNIER = "arXiv:1911.03584"

normal = partial(keras.initializers.RandomNormal, stddev=0.02)


def dense(x, units, *, activation=None, name):
    """A dense layer on the channels of each pixel."""
    return FusedDense(units, activation=activation, kernel_initializer=normal(), name=name)(x)


def add_and_norm(x, y, *, dropout, name):
    """norm(x + dropout(y)), as in BERT."""
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layer_norm(x, epsilon=1e-12, name=f"{name}_norm")


def block(x, *, heads, hidden, dropout, name):
    """Attention, two dense layers without an activation in between, and a network of two dense layers."""
    width = x.shape[-1]
    y = QuadraticAttention2D(heads, name=f"{name}_attention")(x)
    y = dense(y, width, name=f"{name}_attention_value")
    y = dense(y, width, name=f"{name}_attention_output")
    x = add_and_norm(x, y, dropout=dropout, name=f"{name}_attention")
    y = dense(x, hidden, activation="gelu", name=f"{name}_expand")
    y = dense(y, width, name=f"{name}_project")
    return add_and_norm(x, y, dropout=dropout, name=name)


@image_family(
    minimum=8, input_shape=(32, 32, 3), classes=10, preprocessing=CIFAR10, padding="valid"
)
def body(x, *, depth, width, hidden, heads=9, dropout=0.1):
    """Builds a network of self-attention with quadratic positions.

    Args:
        depth: number of layers of attention.
        width: number of channels.
        hidden: width between the two dense layers after attention.
        heads: number of heads.
        dropout: rate of dropout before each sum.
    """
    x = conv(
        x, width, 2, strides=2, padding="valid", use_bias=True, initializer=normal(),
        name="stem_conv",
    )  # fmt: skip
    for _, _, name in levels((depth,), first=1):
        x = block(x, heads=heads, hidden=hidden, dropout=dropout, name=name)
    return x


# fmt: off
#                                                                                                                                   trainable parameters and multiply-accumulates
quadratic_attention3_cifar = variant(body, "quadratic_attention3_cifar", depth=3, width=64,  hidden=128, paper=CORDONNIER, params=175_404, macs=157_483_648)
quadratic_attention6_cifar = variant(body, "quadratic_attention6_cifar", depth=6, width=400, hidden=512, paper=CORDONNIER, params=12_087_006, macs=4_503_556_000)
# fmt: on

"""The sparsely gated mixture of experts in a language model: many small networks, a few of them for each step.

[1] Shazeer 2017, arXiv:1701.06538: equations (1) to (11); the networks of Appendix C.1 and Table 7

The mixture itself is `kapps.layers.SparseMixtureOfExperts`.

Departure from the paper: its vocabulary has 793,471 words; here it is the Penn Treebank's of 10,000.
"""

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import SparseMixtureOfExperts
from kapps.layers.recurrent_stack import recurrent


def residual(x, y, dropout, name):
    """x + Dropout(y) [1, Appendix C.1]."""
    y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    return layers.Add(name=f"{name}_add")([x, y])


@sequence_family(shape=(None,), vocabulary=10_000)
def body(x, *, vocabulary, experts, k=4, units=512, hidden=1024, cell="lstm", dropout=0.1):
    """A recurrent layer, a mixture of experts, and a recurrent layer, each with a residual connection [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        experts: number of experts.
        k: number of experts that the gate chooses at each step.
        units: width of the embedding, of the recurrent layers and of the experts' inputs and outputs.
        hidden: width of each expert's hidden layer.
        cell: name of the recurrent layers' cell, as for `kapps.layers.recurrent_stack.recurrent_layer`.
        dropout: fraction that training drops of the embedding and of each layer's outputs.
    """
    x = layers.Embedding(vocabulary, units, mask_zero=True, name="embedding")(x)
    x = layers.Dropout(dropout, name="embedding_dropout")(x)
    x = residual(x, recurrent(x, units, cell=cell, name="layer1"), dropout, "layer1")
    y = SparseMixtureOfExperts(experts, k, hidden=hidden, name="layer2")(x)
    x = residual(x, layers.Activation("sigmoid", name="layer2_sigmoid")(y), dropout, "layer2")
    return residual(x, recurrent(x, units, cell=cell, name="layer3"), dropout, "layer3")


SHAZEER = "arXiv:1701.06538"
# fmt: off
#                                                   Table 7 without embedding and softmax: 8.4M, 37.8M, 272.9M
moe4   = variant(body, "moe4",   experts=4,   k=4, paper=SHAZEER, params=18_646_800)
moe32  = variant(body, "moe32",  experts=32,  k=4, paper=SHAZEER, params=48_035_600)
moe256 = variant(body, "moe256", experts=256, k=4, paper=SHAZEER, params=283_146_000)
# fmt: on

"""Mixtures of experts between recurrent layers: many small networks, of which each step asks a few.

[1] Shazeer 2017, arXiv:1701.06538: equations (1) to (11); the networks of Appendix C.1 and Table 7

`kapps.layers.SparseMixtureOfExperts` has the mixture itself. Departure: the paper's vocabulary has 793,471 words; the table's
is the Penn Treebank's of 10,000.
"""

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import SparseMixtureOfExperts, recurrent_stack


@sequence_family(shape=(None,), vocabulary=10_000)
def mixture_of_experts(
    x, *, vocabulary, experts, k=4, units=512, hidden=1024, cell="lstm", dropout=0.1
):
    """A recurrent layer, a mixture of experts that each step asks by itself, and a recurrent layer [1].

    Each layer's output is dropped in part, and then its input is added; a sigmoid follows the experts.

    Args:
        x: tokens.
        vocabulary: how many there are.
        experts: how many stand between the recurrent layers.
        k: how many of them each step asks.
        units: width of the embedding, of the recurrent layers and of what the experts read and answer.
        hidden: width of each expert's hidden layer.
        cell: of the recurrent layers (see `kapps.layers.recurrent_stack.recurrent_layer`).
        dropout: share of each layer's outputs that training drops.
    """  # fmt: skip
    x = layers.Embedding(vocabulary, units, mask_zero=True, name="embedding")(x)
    x = layers.Dropout(dropout, name="embedding_dropout")(x)
    x = _residual(
        x, recurrent_stack.recurrent(x, units, cell=cell, name="layer1"), "layer1", dropout
    )
    y = SparseMixtureOfExperts(experts, k, hidden=hidden, name="layer2")(x)
    x = _residual(x, layers.Activation("sigmoid", name="layer2_sigmoid")(y), "layer2", dropout)
    return _residual(
        x, recurrent_stack.recurrent(x, units, cell=cell, name="layer3"), "layer3", dropout
    )


def _residual(below, x, name, dropout):
    x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return layers.Add(name=f"{name}_add")([below, x])


SHAZEER = "arXiv:1701.06538"
# fmt: off
#                                                             Table 7 without embedding and softmax: 8.4M, 37.8M, 272.9M
moe4 = variant(mixture_of_experts, "moe4", experts=4, k=4, paper=SHAZEER, params=18_646_800)
moe32 = variant(mixture_of_experts, "moe32", experts=32, k=4, paper=SHAZEER, params=48_035_600)
moe256 = variant(mixture_of_experts, "moe256", experts=256, k=4, paper=SHAZEER, params=283_146_000)
# fmt: on

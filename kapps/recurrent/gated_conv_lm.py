"""Gated convolutional language models: causal convolutions with gated linear units, and no recurrence.

[1] Dauphin 2016, arXiv:1612.08083
[2] their code, fairseq (Ott 2019, arXiv:1904.01038): `fconv_lm`, with the tables of its three networks
[3] Salimans 2016, arXiv:1602.07868: weight normalisation
[4] Grave 2016, arXiv:1609.04309: the adaptive softmax

A layer is h = (X * W + b) sigmoid(X * V + c) [1, equation (1)], whose convolution ends at the output's step, and a
residual connection. A decoding step keeps the last K - 1 inputs of each layer, whatever the length of the text.

The builders have the adaptive softmax and the vocabularies of [2], sorted by frequency; with a smaller vocabulary the
cutoffs above it are left out. `kapps.families.gated_conv_lm` has an ordinary softmax; the head with any cutoffs is:

    net = kapps.families.gated_conv_lm(vocabulary=33_278, convolutions=((256, 4, 1),) * 8, include_top=False)
    y = kapps.heads.adaptive_softmax(net.output, 33_278, "softmax", cutoffs=(2_000, 10_000))
    model = keras.Model(net.input, y)

Departures from the papers:
- As in [2], a gated linear unit follows every convolution, also those inside of bottlenecks, the sum of a residual
  connection is divided by sqrt(2), and a weight-normalised product joins different widths.
"""

from functools import partial

import keras
from keras import layers

from kapps import heads
from kapps.builders import sequence_family, variant
from kapps.layers import GatedLinearUnit, WeightNormConv1D


def normal(gain, dropout):
    """Returns the initialisation of [2]: normal, with a variance of gain (1 - dropout) / fan-in."""
    return keras.initializers.VarianceScaling(
        gain * max(1 - dropout, 1e-3), "fan_in", "untruncated_normal"
    )


def product(x, width, dropout, name):
    """A weight-normalised product of each step's channels."""
    return WeightNormConv1D(width, 1, kernel_initializer=normal(1, dropout), name=name)(x)


def gated_convolution(x, filters, kernel_size, dropout, name):
    """Dropout, and (X * W + b) sigmoid(X * V + c): both convolutions are one, with twice the filters."""
    if dropout:
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = WeightNormConv1D(
        2 * filters, kernel_size, padding="causal", kernel_initializer=normal(4, dropout), name=f"{name}_conv"
    )(x)  # fmt: skip
    return GatedLinearUnit(name=f"{name}_glu")(x)


def bottleneck(inner, width):
    """Three rows of a table: 1, 5 and 1 steps, with a residual connection around them [1, Table 1]."""
    return (inner, 1, 0), (inner, 5, 0), (width, 1, 3)


def check_convolutions(convolutions):
    """Raises ValueError for a row that is not (filters, K, r) with a residual connection from an earlier input."""
    for i, row in enumerate(convolutions):
        if len(row) != 3 or not 0 <= row[2] <= i + 1:
            raise ValueError(
                f"convolutions: row {i + 1}, {row!r}, is not (filters, steps, residual) with a residual from 0 to {i + 1}"
            )
    if not convolutions:
        raise ValueError("convolutions is empty; pass one row (filters, steps, residual) or more")


# fmt: off
#           channels K  r
GCNN_14 = (*((850,  6, 1),) * 3, (850, 1, 1), *((850, 5, 1),) * 4, (850, 1, 1), *((850, 4, 1),) * 3, (1024, 4, 1), (2048, 4, 1))
GCNN_14B = ((512, 5, 1), *bottleneck(128, 512) * 3, *bottleneck(512, 1024) * 3, *bottleneck(1024, 2048) * 6, *bottleneck(1024, 4096))
GCNN_13 = ((1268, 4, 1),) * 13
# fmt: on


@sequence_family(shape=(None,), vocabulary=267_744)
def body(x, *, vocabulary, embedding=280, convolutions=GCNN_14, dropout=0.2):
    """Embedded tokens and gated causal convolutions; the head predicts the next token at each step [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        embedding: width of the embedding; a product widens it to the first convolution's filters.
        convolutions: a row (filters, K, r) for each layer: K is the number of steps of the kernel, and the input of
            the r-th last layer, this one included, is added to the output; 0 for no residual connection.
        dropout: fraction that training drops of the embeddings and of the input of each convolution.
    """
    check_convolutions(convolutions)
    x = layers.Embedding(
        vocabulary, embedding, keras.initializers.RandomNormal(stddev=0.1), mask_zero=True, name="embedding"
    )(x)  # fmt: skip
    if dropout:
        x = layers.Dropout(dropout, name="embedding_dropout")(x)
    x = product(x, convolutions[0][0], dropout, "embedding_product")
    inputs = [x]
    for i, (filters, kernel_size, residual) in enumerate(convolutions, start=1):
        name = f"layer{i}"
        y = gated_convolution(inputs[-1], filters, kernel_size, dropout, name)
        if residual:
            x = inputs[-residual]
            if x.shape[-1] != filters:
                x = product(x, filters, dropout, f"{name}_shortcut")
            y = layers.Add(name=f"{name}_add")([x, y])
            y = layers.Rescaling(0.5**0.5, name=f"{name}_scale")(y)
        inputs.append(y)
    return inputs[-1]


DAUPHIN = "arXiv:1612.08083"
WIKITEXT, BILLION_WORD = (
    partial(heads.adaptive_softmax, cutoffs=cutoffs)
    for cutoffs in ((10_000, 20_000, 200_000), (10_000, 50_000, 200_000))
)
# fmt: off
gcnn14_wikitext103   = variant(body, "gcnn14_wikitext103",   embedding=280, convolutions=GCNN_14,  vocabulary=267_744, head=WIKITEXT,     paper=DAUPHIN, params=229_305_428)
gcnn14b_billion_word = variant(body, "gcnn14b_billion_word", embedding=128, convolutions=GCNN_14B, vocabulary=793_472, head=BILLION_WORD, paper=DAUPHIN, params=428_382_208)
gcnn13_billion_word  = variant(body, "gcnn13_billion_word",  embedding=128, convolutions=GCNN_13,  vocabulary=793_472, head=BILLION_WORD, paper=DAUPHIN, params=318_024_880)
# fmt: on

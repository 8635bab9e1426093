"""Recurrent language models: tokens (batch, time) to the probabilities of each next token (batch, time, vocabulary).

[1] Zaremba 2014, arXiv:1409.2329
[2] Karpathy 2015, https://github.com/karpathy/char-rnn, at its defaults
[3] Zhang 2021, Dive into deep learning, arXiv:2106.11342, https://d2l.ai, chapters on recurrent networks
[4] Radford 2017, arXiv:1704.01444, https://github.com/openai/generating-reviews-discovering-sentiment

Departures: where [2] and the GRU of [1]'s time have a second bias beside the first, LSTM has one here; the softmax of
[1] and [2] has the vocabulary of their data, which leaves padding no place, so a model for `kapps.data.text` says how
many tokens that counts. In [4] the vocabulary are bytes, of which 0 is padding here.

A model for truncated backpropagation on streams (`kapps.data.text.stream_dataset`) carries its states from batch to
batch:

    tokens = keras.Input(batch_shape=(32, 35), dtype="int32", name="tokens")
    model = kapps.families.rnn_lm(units=(256,), vocabulary=29, stateful=True, input_tensor=tokens)

Its states become zeros by `kapps.training.ResetStates` before each epoch, or by each layer's own `reset_state`.
"""

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import stack

ZAREMBA, KARPATHY, ZHANG, RADFORD = (
    "arXiv:1409.2329", "Karpathy 2015", "arXiv:2106.11342", "arXiv:1704.01444",
)  # fmt: skip


def one_hot(x, vocabulary):
    """Tokens (batch, time) to (batch, time, vocabulary): a look-up in the identity, so that padding has its mask."""
    return layers.Embedding(
        vocabulary, vocabulary, "identity", mask_zero=True, trainable=False, name="one_hot"
    )(x)


@sequence_family(shape=(None,), vocabulary=10_000)
def rnn_lm(
    x, *, vocabulary, units=(200, 200), embedding=None, cell="lstm", dropout=0.0, weight_norm=False, stateful=False,
):  # fmt: skip
    """An embedding, or one-hot tokens, and a stack of recurrent layers; the head reads each step.

    Args:
        x: tokens, 0 for padding.
        vocabulary: how many there are.
        units: width of each layer.
        embedding: width of the embedding; None for one-hot tokens.
        cell: the layers' cell, as for `kapps.layers.recurrent_stack.recurrent_layer`.
        dropout: share of what enters each layer and the head that training drops, never of what recurs [1].
        weight_norm: whether the weights of multiplicative cells are normalised.
        stateful: whether a batch starts from the states in which the one before it ended.
    """
    if embedding is None:
        x = one_hot(x, vocabulary)
    else:
        x = layers.Embedding(vocabulary, embedding, mask_zero=True, name="embedding")(x)
        if dropout:
            x = layers.Dropout(dropout, name="embedding_dropout")(x)
    options = {"weight_norm": True} if weight_norm else {}
    return stack(x, tuple(units), cell=cell, dropout=dropout, stateful=stateful, **options)


# fmt: off
# Parameters are sums of: V x E of the embedding, 4 (E + U + 1) U of an LSTM, (U + 1) V of the head.
#                                                                                                               tokens                                     parameters
zaremba_small    = variant(rnn_lm, "zaremba_small",    units=(200, 200),   embedding=200,                                           paper=ZAREMBA,  params=4_651_600)
zaremba_medium   = variant(rnn_lm, "zaremba_medium",   units=(650, 650),   embedding=650,  dropout=0.5,                             paper=ZAREMBA,  params=19_775_200)
zaremba_large    = variant(rnn_lm, "zaremba_large",    units=(1500, 1500), embedding=1500, dropout=0.65,                            paper=ZAREMBA,  params=66_022_000)
char_rnn         = variant(rnn_lm, "char_rnn",         units=(128, 128),                                        vocabulary=65,      paper=KARPATHY, params=239_297)
d2l_rnn          = variant(rnn_lm, "d2l_rnn",          units=(256,),       cell="rnn",                          vocabulary=28,      paper=ZHANG,    params=80_156)
d2l_gru          = variant(rnn_lm, "d2l_gru",          units=(256,),       cell="gru",                          vocabulary=28,      paper=ZHANG,    params=226_844)
d2l_lstm         = variant(rnn_lm, "d2l_lstm",         units=(256,),                                            vocabulary=28,      paper=ZHANG,    params=299_036)
d2l_rnn_32       = variant(rnn_lm, "d2l_rnn_32",       units=(32,),        cell="rnn",                          vocabulary=28,      paper=ZHANG,    params=2_876)
sentiment_neuron = variant(rnn_lm, "sentiment_neuron", units=(4096,),      embedding=64, cell="multiplicative", vocabulary=256,     paper=RADFORD,  params=86_319_360, weight_norm=True)
# fmt: on

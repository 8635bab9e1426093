"""Recurrent language models: tokens (batch, time) to probabilities of each next token (batch, time, vocabulary).

[1] Zaremba 2014, arXiv:1409.2329
[2] Karpathy 2015, https://github.com/karpathy/char-rnn, with its default options
[3] Zhang 2021, Dive into deep learning, arXiv:2106.11342, https://d2l.ai, chapters on recurrent networks
[4] Radford 2017, arXiv:1704.01444, https://github.com/openai/generating-reviews-discovering-sentiment

Departures from the papers:
- [2] and the GRU of its time have a second bias; the layers here have one.
- The softmax of [1] and [2] has the vocabulary of their data, without a token for padding. For `kapps.data.text`, set
  `vocabulary` to its number of tokens. In [4] the vocabulary is all bytes; byte 0 is padding here.

A model for truncated backpropagation on streams (`kapps.data.text.stream_dataset`) carries its states from batch to
batch:

    tokens = keras.Input(batch_shape=(32, 35), dtype="int32", name="tokens")
    model = kapps.families.rnn_lm(units=(256,), vocabulary=29, stateful=True, input_tensor=tokens)

`kapps.training.ResetStates` sets its states to zeros before each epoch, and each layer's `reset_state` does so too.
"""

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import stack
from kapps.layers.token_embedding import embed_tokens


def one_hot(tokens, vocabulary):
    """One-hot vectors (batch, time, vocabulary), as an embedding by the identity matrix, which masks padding."""
    return layers.Embedding(
        vocabulary, vocabulary, "identity", mask_zero=True, trainable=False, name="one_hot"
    )(tokens)


@sequence_family(shape=(None,), vocabulary=10_000)
def body(
    x, *, vocabulary, units=(200, 200), embedding=None, cell="lstm", dropout=0.0, weight_norm=False, stateful=False,
):  # fmt: skip
    """Embedded or one-hot tokens, and a stack of recurrent layers; the head predicts the next token at each step.

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        units: width of each layer.
        embedding: width of the embedding; None for one-hot tokens.
        cell: name of the layers' cell, as for `kapps.layers.recurrent_stack.recurrent_layer`.
        dropout: fraction that training drops of the inputs of each layer and of the head, never of the states [1].
        weight_norm: whether the weights of multiplicative cells are normalised.
        stateful: whether a batch starts from the last states of the batch before it.
    """
    if embedding is None:  # noqa: SIM108  # the two cases read better as branches
        x = one_hot(x, vocabulary)
    else:
        x = embed_tokens(x, vocabulary, embedding, dropout=dropout)
    options = {"weight_norm": True} if weight_norm else {}
    return stack(x, tuple(units), cell=cell, dropout=dropout, stateful=stateful, **options)


ZAREMBA, KARPATHY = "arXiv:1409.2329", "Karpathy 2015"
ZHANG, RADFORD = "arXiv:2106.11342", "arXiv:1704.01444"
# fmt: off
# Parameters are sums of: V x E of the embedding, 4 (E + U + 1) U of an LSTM, (U + 1) V of the head.
#                                                                                                              tokens                            parameters
zaremba_small    = variant(body, "zaremba_small",    units=(200, 200),   embedding=200,                                            paper=ZAREMBA,  params=4_651_600)
zaremba_medium   = variant(body, "zaremba_medium",   units=(650, 650),   embedding=650,  dropout=0.5,                              paper=ZAREMBA,  params=19_775_200)
zaremba_large    = variant(body, "zaremba_large",    units=(1500, 1500), embedding=1500, dropout=0.65,                             paper=ZAREMBA,  params=66_022_000)
char_rnn         = variant(body, "char_rnn",         units=(128, 128),                                         vocabulary=65,      paper=KARPATHY, params=239_297)
d2l_rnn          = variant(body, "d2l_rnn",          units=(256,),       cell="rnn",                           vocabulary=28,      paper=ZHANG,    params=80_156)
d2l_gru          = variant(body, "d2l_gru",          units=(256,),       cell="gru",                           vocabulary=28,      paper=ZHANG,    params=226_844)
d2l_lstm         = variant(body, "d2l_lstm",         units=(256,),                                             vocabulary=28,      paper=ZHANG,    params=299_036)
d2l_rnn_32       = variant(body, "d2l_rnn_32",       units=(32,),        cell="rnn",                           vocabulary=28,      paper=ZHANG,    params=2_876)
sentiment_neuron = variant(body, "sentiment_neuron", units=(4096,),      embedding=64, cell="multiplicative",  vocabulary=256,     paper=RADFORD,  params=86_319_360, weight_norm=True)
# fmt: on

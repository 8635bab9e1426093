"""Luong's encoder-decoder: the decoder attends to the encoder's outputs after each step, globally or in a local window.

[1] Luong 2015, arXiv:1508.04025

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing
    model.fit([source, target], labels)
    tokens = kapps.translate(model, source, start=1, end=2)

Departures from the paper:
- [1] leaves biases out of its equations; here the recurrent layers and the logits have them.
- Between the layers of the decoder, training drops the same values at all steps; between those of the encoder it samples
  them at each step.
- The positions of a reversed source, and with them the local windows, count from its last word.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import Alignment, AttentionalCell, AttentionRNN, ReverseSequence
from kapps.layers.recurrent_stack import stack, stack_cells
from kapps.layers.token_embedding import embed_tokens


def input_feeding_decoder(y, memory, states, attention, *, units, layers, cell, dropout):
    """The attentional states h~_t; each is also an input of the next step [1, 3.3]."""
    cells = stack_cells(units, layers, cell=cell, dropout=dropout)
    decoder_cell = AttentionalCell(cells, attention, name="decoder_cell")
    decoder = AttentionRNN(decoder_cell, return_sequences=True, name="decoder")
    return decoder(
        y, memory, initial_state=[s for states_of_layer in states for s in states_of_layer]
    )


def plain_decoder(y, memory, states, attention, *, units, layers, cell, dropout):
    """The attentional states h~_t = tanh(W_c [c_t; h_t]) [1, equation (5)], computed for all steps at once."""
    h = stack(
        y, units, layers=layers, cell=cell, initial_state=states, dropout=dropout, name="decoder"
    )
    x = keras.layers.Concatenate(name="attentional_inputs")([attention(h, memory), h])
    return keras.layers.Dense(units, "tanh", use_bias=False, name="attentional")(x)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=50_000)
def body(
    x, *, vocabulary, source_vocabulary=None, embedding=1000, units=1000, layers=4, cell="lstm", reverse=True,
    score="general", window="local_p", width=10, attention_units=None, input_feeding=True, dropout=0.2,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary: number of target tokens, padding (0) included.
        source_vocabulary: number of source tokens; None for as many as the target has.
        embedding: width of both embeddings.
        units: width of the encoder's and the decoder's layers.
        layers: number of layers of the encoder and of the decoder.
        cell: name of both cells, as for `kapps.layers.recurrent_stack.recurrent_layer`.
        reverse: whether the encoder reads the source from its last word to its first.
        score: "dot", "general" or "concat" [1, 3.1], or another score of `kapps.layers.Alignment`.
        window: "global" [1, 3.1], "local_m" or "local_p" [1, 3.2], or "hard", as for `kapps.layers.Alignment`.
        width: D, the half-width of the local windows.
        attention_units: width of the hidden layer of the score "concat"; None for `units`.
        input_feeding: whether h~ is an input of the next step [1, 3.3]. Without it the attention of all steps is one
            product.
        dropout: fraction that training drops of the embeddings, between layers and of the decoder's outputs.
    """
    source, target = x
    options = dict(units=units, layers=layers, cell=cell, dropout=dropout)
    if reverse:
        source = ReverseSequence(name="source_reversed")(source)
    x = embed_tokens(
        source, source_vocabulary or vocabulary, embedding, dropout=dropout, name="encoder_embedding"
    )  # fmt: skip
    memory, states = stack(x, **options, return_state=True, name="encoder")
    y = embed_tokens(target, vocabulary, embedding, dropout=dropout, name="decoder_embedding")
    attention = Alignment(score, window, units=attention_units, width=width, name="attention")
    decoder = input_feeding_decoder if input_feeding else plain_decoder
    x = decoder(y, memory, states, attention, **options)
    return keras.layers.Dropout(dropout, name="decoder_dropout")(x) if dropout else x


# fmt: off
#                                                                  computed from the sizes
luong2015 = variant(body, "luong2015", paper="arXiv:1508.04025", params=222_083_000)
# fmt: on

"""RNNsearch: an encoder-decoder whose decoder attends to the encoder's outputs before each step.

[1] Bahdanau 2015, arXiv:1409.0473

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing
    model.fit([source, target], labels)
    tokens = kapps.translate(model, source, start=1, end=2)

Departures from the paper:
- [1] leaves biases out of its equations; here the recurrent layers, the readout, the first state and the logits have them.
- The update gate of [1] is the fraction of the state that is new, as in `kapps.GRUCell` with update="new".
- `dropout` is an option; [1] has none.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import Alignment, AttentionRNN, Maxout, SearchCell
from kapps.layers.recurrent_stack import bidirectional, stack_cells
from kapps.layers.token_embedding import embed_tokens


def encoder(source, vocabulary, *, embedding, units, cell, dropout):
    """The annotations h_j = [h_j forward; h_j backward] (batch, time, 2 n), and the last states of both directions."""
    x = embed_tokens(source, vocabulary, embedding, dropout=dropout, name="encoder_embedding")
    h, states = bidirectional(
        x, units, cell=cell, merge="concat", return_state=True, name="encoder1"
    )
    if dropout:
        h = keras.layers.Dropout(dropout, name="encoder1_dropout")(h)
    return h, states


def first_states(states):
    """s_0 = tanh(W_s h_1 backward), from the backward layer's last state; an LSTM's c_0 likewise."""
    backward = states[len(states) // 2 :]
    return [
        keras.layers.Dense(state.shape[-1], "tanh", name=f"decoder1_state{i}")(state)
        for i, state in enumerate(backward)
    ]


def deep_output(x, y, readout):
    """t_i = [max(t~_{i,2j-1}, t~_{i,2j})] for j = 1 .. l, t~_i = U_o s_{i-1} + V_o E y_{i-1} + C_o c_i [1, A.2.2].

    Args:
        x: [s_{i-1}; c_i] of each step, (batch, time, n + 2 n).
        y: E y_{i-1} of each step, (batch, time, m).
        readout: l.
    """
    x = keras.layers.Concatenate(name="readout_inputs")([x, y])
    x = keras.layers.Dense(2 * readout, name="readout")(x)
    return Maxout(2, name="readout_maxout")(x)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=30_000)
def body(
    x, *, vocabulary, source_vocabulary=None, embedding=620, units=1000, attention_units=None, readout=500,
    cell="gru_new", dropout=0.0,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary: number of target tokens, padding (0) included.
        source_vocabulary: number of source tokens; None for as many as the target has.
        embedding: m, the width of both embeddings.
        units: n, the width of each direction of the encoder and of the decoder.
        attention_units: n', the width of the additive score's hidden layer; None for `units`.
        readout: l, the number of maxout units before the logits.
        cell: name of both cells, as for `kapps.layers.recurrent_stack.recurrent_layer`.
        dropout: fraction that training drops of the embeddings, the annotations and the maxout units.
    """
    source, target = x
    h, states = encoder(
        source, source_vocabulary or vocabulary, embedding=embedding, units=units, cell=cell, dropout=dropout
    )  # fmt: skip
    y = embed_tokens(target, vocabulary, embedding, dropout=dropout, name="decoder_embedding")
    # e_ij = v^T tanh(W s_{i-1} + U h_j), alpha_i = softmax(e_i), c_i = sum_j alpha_ij h_j, s_i = f(s_{i-1}, y_{i-1}, c_i)
    attention = Alignment("additive", units=attention_units, name="attention")
    decoder_cell = SearchCell(stack_cells(units, 1, cell=cell), attention, name="decoder_cell")
    decoder = AttentionRNN(decoder_cell, return_sequences=True, name="decoder")
    x = deep_output(decoder(y, h, initial_state=first_states(states)), y, readout)
    return keras.layers.Dropout(dropout, name="decoder_dropout")(x) if dropout else x


# fmt: off
#                                                                              computed from the sizes
bahdanau2015 = variant(body, "bahdanau2015", paper="arXiv:1409.0473", params=80_442_000)
# fmt: on

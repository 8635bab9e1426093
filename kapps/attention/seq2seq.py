"""Sequence to sequence with attention: at each word, the decoder looks at what the encoder says of each word.

[1] Bahdanau 2015, arXiv:1409.0473: RNNsearch
[2] Luong 2015, arXiv:1508.04025

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing: it reads what was right
    model.fit([source, target], labels)
    found = kapps.translate(model, source, start=1, end=2)              # it reads what it wrote

Departures: [1] and [2] leave biases out of their equations; here the recurrent layers, the readout, the first state and
the logits have them. The update gate of [1] says how much is new, as `kapps.GRUCell`'s does with update="new". Between
the layers of a decoder of [2] training drops the same values at all steps, between those of the encoder others at
each. A reversed source's positions, and with them the local windows, count from its last word.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import Alignment, Maxout, ReverseSequence, recurrent_stack
from kapps.layers.attention_cells import AttentionalCell, AttentionRNN, SearchCell


def cells(units, layers, cell, dropout):
    """Returns the decoder's cells, the lowest first; the lowest one's inputs are dropped where they are embedded."""
    found = []
    for i in range(layers):
        layer = recurrent_stack.recurrent_layer(units, cell=cell, dropout=dropout if i else 0.0)
        found.append(layer.cell)
    return found


def search(y, memory, states, *, units, layers, cell, dropout, readout, attention):
    """The decoder of [1]: it attends with the state before each step, and reads out by maxout, A.2.2.

    t~_i = U_o s_{i-1} + V_o E y_{i-1} + C_o c_i,  t_i = [max(t~_{i,2j-1}, t~_{i,2j})],  j = 1 .. l
    """
    attending = SearchCell(cells(units, layers, cell, dropout), attention, name="decoder_cell")
    layer = AttentionRNN(attending, return_sequences=True, name="decoder")
    x = keras.layers.Concatenate(name="readout_inputs")([layer(y, memory, initial_state=states), y])
    x = keras.layers.Dense(2 * readout, name="readout")(x)
    return Maxout(2, name="readout_maxout")(x)


def attentional(y, memory, states, *, units, layers, cell, dropout, input_feeding, attention):
    """The decoder of [2]: it attends with the state after each step, h~_t = tanh(W_c [c_t; h_t])."""
    if input_feeding:
        attending = AttentionalCell(
            cells(units, layers, cell, dropout), attention, name="decoder_cell"
        )
        layer = AttentionRNN(attending, return_sequences=True, name="decoder")
        return layer(y, memory, initial_state=[state for each in states for state in each])
    h = recurrent_stack.stack(
        y, units, layers=layers, cell=cell, initial_state=states, dropout=dropout, name="decoder"
    )
    x = keras.layers.Concatenate(name="attentional_inputs")([attention(h, memory), h])
    return keras.layers.Dense(units, "tanh", use_bias=False, name="attentional")(x)


def first_states(states, directions, name):
    """The decoder's first states: the encoder's last ones [2], or of two directions tanh(W_s h) of the one backward [1]."""
    if directions == 1:
        return states
    return [
        [
            keras.layers.Dense(state.shape[-1], "tanh", name=f"{name}{i}_state{j}")(state)
            for j, state in enumerate(each[len(each) // 2 :])
        ]
        for i, each in enumerate(states, start=1)
    ]


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=30_000)
def attention_seq2seq(
    x, *, vocabulary, source_vocabulary=None, embedding=620, units=1000, layers=1, cell="gru", merge="concat",
    reverse=False, attend="before", score="additive", attention_units=None, window="global", width=10, readout=500,
    input_feeding=True, dropout=0.0,
):  # fmt: skip
    """Logits of the next word of a target, at each word of it, given a source that is looked at again for each.

    Args:
        x: tokens of the source, and of the target before each word that is to be found.
        vocabulary: how many tokens the target has, padding (0) among them.
        source_vocabulary: how many the source has; None for as many.
        embedding: width of both embeddings, m.
        units: width of the encoder, of each direction where it has two, and of the decoder, n.
        layers: how many, of the encoder and of the decoder.
        cell: of both, by its name, as for `kapps.layers.recurrent_stack.recurrent_layer`: "gru", "lstm", "gru_new" ...
        merge: "concat" or "sum" of the encoder's two directions [1], or None where it has one [2].
        reverse: whether the source is read from its last word to its first [2].
        attend: "before" each step of the decoder, which reads what is found [1], or "after" it [2].
        score: "additive", "dot", "general", "concat" or "scaled", as for `kapps.layers.Alignment`.
        attention_units: n' of "additive" and "concat"; None for `units`.
        window: "global", "local_m", "local_p" or "hard", as for `kapps.layers.Alignment`.
        width: D of the local windows.
        readout: l, of the maxout before the logits of a decoder that attends before.
        input_feeding: whether the next step of a decoder that attends after reads h~ [2, 3.3]. Without it all steps'
            attention is one product.
        dropout: share of the embeddings, of what goes from layer to layer and of the decoder's outputs that training
            drops.
    """
    if attend not in ("before", "after"):
        raise ValueError(f'a decoder attends "before" its step or "after" it, not {attend!r}')
    source, target = x
    if reverse:
        source = ReverseSequence(name="source_reversed")(source)
    its = dict(layers=layers, cell=cell)
    tokens = vocabulary if source_vocabulary is None else source_vocabulary
    y = keras.layers.Embedding(tokens, embedding, mask_zero=True, name="encoder_embedding")(source)
    y = dropped(y, dropout, "encoder_embedding")
    memory, states = recurrent_stack.stack(
        y, units, **its, merge=merge, dropout=dropout, return_state=True, name="encoder"
    )
    y = keras.layers.Embedding(vocabulary, embedding, mask_zero=True, name="decoder_embedding")(
        target
    )
    y = dropped(y, dropout, "decoder_embedding")
    states = first_states(states, 1 if merge is None else 2, "decoder")
    attention = Alignment(score, window, units=attention_units, width=width, name="attention")
    its = dict(its, units=units, attention=attention)
    if attend == "before":
        states = [state for each in states for state in each]
        x = search(y, memory, states, **its, dropout=dropout, readout=readout)
    else:
        x = attentional(y, memory, states, **its, dropout=dropout, input_feeding=input_feeding)
    return dropped(x, dropout, "decoder")


def dropped(x, dropout, name):
    """Returns x, of which training drops a share."""
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


BAHDANAU, LUONG = "arXiv:1409.0473", "arXiv:1508.04025"
# fmt: off
#                                                                                                                                                                                                                                                  by their sizes
bahdanau2015 = variant(attention_seq2seq, "bahdanau2015", cell="gru_new",                                                                                                                                                      paper=BAHDANAU, params=80_442_000)
luong2015    = variant(attention_seq2seq, "luong2015",    cell="lstm", layers=4, embedding=1000, merge=None, reverse=True, attend="after", score="general", window="local_p", width=10, dropout=0.2, vocabulary=50_000, paper=LUONG,    params=222_083_000)
# fmt: on

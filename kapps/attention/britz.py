"""The recurrent translators of Britz's comparison: the decoder attends after each step and reads the last context.

[1] Britz 2017, arXiv:1703.03906
[2] their code, https://github.com/google/seq2seq: nmt_small, nmt_medium and nmt_large

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing
    model.fit([source, target], labels)
    tokens = kapps.translate(model, source, start=1, end=2)

Each direction of the encoder is a stack of its own; the outputs of both are concatenated at each step. The decoder
starts from zeros, whatever the source.

Departures from the papers:
- Training drops values of the embeddings and of the inputs of each layer but the first, and not of the context that the
  first layer of the decoder reads.
- [2] has 37,000 tokens of each language for English and German, without a token for padding; here it is one of them.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import Alignment, AttentionRNN, ContextFeedingCell
from kapps.layers.recurrent_stack import bidirectional, stack_cells
from kapps.layers.token_embedding import embed_tokens


def bidirectional_stack(x, units, layers, *, cell, dropout):
    """Two stacks of layers, one forward and one backward in time: (batch, time, 2 units)."""
    if layers == 1:
        return bidirectional(x, units, cell=cell, merge="concat", name="encoder1")
    cells = stack_cells(units, layers, cell=cell, dropout=dropout)
    layer = keras.layers.RNN(cells, return_sequences=True)
    return keras.layers.Bidirectional(layer, merge_mode="concat", name="encoder1")(x)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=37_000)
def body(
    x, *, vocabulary, source_vocabulary=None, embedding=512, units=512, encoder_layers=2, decoder_layers=4, cell="lstm",
    score="additive", attention_units=None, dropout=0.2,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary: number of target tokens, padding (0) included.
        source_vocabulary: number of source tokens; None for as many as the target has.
        embedding: width of both embeddings.
        units: width of each direction of the encoder and of the decoder.
        encoder_layers: number of layers of each direction of the encoder.
        decoder_layers: number of layers of the decoder.
        cell: name of all cells, as for `kapps.layers.recurrent_stack.recurrent_layer`.
        score: "additive" or "multiplicative" [1, 4.5].
        attention_units: width of the projections of the score; None for `units`.
        dropout: fraction that training drops of the embeddings and of the inputs of each layer but the first.
    """
    source, target = x
    x = embed_tokens(
        source, source_vocabulary or vocabulary, embedding, dropout=dropout, name="encoder_embedding"
    )  # fmt: skip
    memory = bidirectional_stack(x, units, encoder_layers, cell=cell, dropout=dropout)
    y = embed_tokens(target, vocabulary, embedding, dropout=dropout, name="decoder_embedding")
    attention = Alignment(
        score, units=attention_units or units, use_bias=True, name="attention"
    )  # fmt: skip
    cells = stack_cells(units, decoder_layers, cell=cell, dropout=dropout)
    decoder_cell = ContextFeedingCell(cells, attention, name="decoder_cell")
    return AttentionRNN(decoder_cell, return_sequences=True, name="decoder")(y, memory)


BRITZ = "arXiv:1703.03906"
# fmt: off
#                                             embedding and units          layers                                                                                                     of [2]
nmt_small  = variant(body, "nmt_small",  embedding=128, units=128, encoder_layers=1, decoder_layers=1, cell="gru_old", score="multiplicative", paper=BRITZ, params=14_738_056)
nmt_medium = variant(body, "nmt_medium", embedding=256, units=256, encoder_layers=1, decoder_layers=2, cell="gru_old", score="additive",       paper=BRITZ, params=30_816_392)
nmt_large  = variant(body, "nmt_large",  embedding=512, units=512, encoder_layers=2, decoder_layers=4, cell="lstm",    score="additive",       paper=BRITZ, params=77_334_664)
# fmt: on

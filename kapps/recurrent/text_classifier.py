"""Text classification: an embedding, recurrent layers over the tokens, then one prediction for the whole text.

[1] https://keras.io/examples/nlp/bidirectional_lstm_imdb
"""

from kapps import heads
from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import stack
from kapps.layers.token_embedding import embed_tokens


@sequence_family(shape=(None,), vocabulary=20_000, classes=1, head=heads.binary_or_multiclass)
def body(
    x, *, vocabulary, embedding=128, units=128, layers=None, cell="lstm", merge=None, residual=None, pyramid=None,
    dropout=0.0,
):  # fmt: skip
    """Classifies by the output of the last token that is not padding; with two directions, of each one's last token.

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        embedding: width of the embedding.
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.layers.recurrent_stack.stack`.
    """
    x = embed_tokens(x, vocabulary, embedding)
    return stack(
        x, units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid, dropout=dropout,
        return_sequences=False,
    )  # fmt: skip


# fmt: off
#                                                                                                       computed from the sizes
imdb_blstm = variant(body, "imdb_blstm", embedding=128, units=(64, 64), merge="concat", paper="keras.io 2020", params=2_757_761)
# fmt: on

"""Text classification: an embedding, recurrent layers over the tokens, then one prediction.

[1] https://keras.io/examples/nlp/bidirectional_lstm_imdb
"""

import keras

from kapps import heads
from kapps.builders import sequence_family, variant
from kapps.layers.recurrent_stack import stack


@sequence_family(shape=(None,), vocabulary=20_000, classes=1, head=heads.binary_or_multiclass)
def text_classifier(
    x, *, vocabulary, embedding=128, units=128, layers=None, cell="lstm", merge=None, residual=None, pyramid=None,
    dropout=0.0,
):  # fmt: skip
    """Many to one, of tokens: an embedding, and what recurrent layers have after the last token.

    Args:
        x: tokens.
        vocabulary: how many there are, padding (0) among them.
        embedding: width of the embedding.
        units, layers, cell, merge, residual, pyramid, dropout: as for `kapps.layers.recurrent_stack.stack`.
    """
    x = keras.layers.Embedding(vocabulary, embedding, mask_zero=True, name="embedding")(x)
    return stack(
        x, units, layers=layers, cell=cell, merge=merge, residual=residual, pyramid=pyramid, dropout=dropout,
        return_sequences=False,
    )  # fmt: skip


# fmt: off
imdb_blstm = variant(text_classifier, "imdb_blstm", embedding=128, units=(64, 64), merge="concat", paper="keras.io 2020", params=2_757_761)
# fmt: on

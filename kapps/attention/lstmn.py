"""The long short-term memory-network as a language model: each step attends to the states of earlier steps.

[1] Cheng 2016, arXiv:1601.06733

The cell is `kapps.layers.LSTMNCell`. A decoding step has the tape of earlier states as its state.

Departures from the paper:
- A step reads the last `tape` steps, not all steps since the beginning of the sentence.
- The softmax has all tokens, padding included.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import LSTMNCell
from kapps.layers.token_embedding import embed_tokens


@sequence_family(shape=(None,), vocabulary=10_000)
def body(x, *, vocabulary, embedding=300, units=300, layers=1, tape=64, dropout=0.0):
    """Predicts the next token at each step [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        embedding: width of the embedding.
        units: width of each layer.
        layers: number of layers.
        tape: the largest number of earlier steps that a step reads.
        dropout: fraction that training drops of the embedding and of each layer's outputs.
    """
    x = embed_tokens(x, vocabulary, embedding, dropout=dropout)
    for i in range(1, layers + 1):
        cell = LSTMNCell(units, tape, name=f"layer{i}_cell")
        x = keras.layers.RNN(cell, return_sequences=True, name=f"layer{i}")(x)
        x = keras.layers.Dropout(dropout, name=f"layer{i}_dropout")(x) if dropout else x
    return x


CHENG = "arXiv:1601.06733"
# fmt: off
#                                                                 991,500 of the reader, 3,000,000 of the embedding, 3,010,000 of the head
lstmn_ptb = variant(body, "lstmn_ptb", embedding=300, units=300, paper=CHENG, params=7_001_500)
# fmt: on

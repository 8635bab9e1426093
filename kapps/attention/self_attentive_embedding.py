"""The structured self-attentive sentence embedding: a text as a matrix whose rows are means of its steps.

[1] Lin 2017, arXiv:1703.03130
[2] a second implementation, https://github.com/ExplorerFreda/Structured-Self-Attentive-Sentence-Embedding

`kapps.attention_weights` returns the rows of weights over the words.

Departures from the papers:
- The vocabulary has 10,000 words; [1] has that of its data, with GloVe vectors.
- The penalty is the squared norm, as in [1]; [2] has the norm without the square.
- The norm of the gradient's clipping and the L2 weights of [1] are settings of the training, not of the model.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import SelfAttentivePooling
from kapps.layers.recurrent_stack import stack
from kapps.layers.token_embedding import embed_tokens


@sequence_family(shape=(None,), vocabulary=10_000, classes=5)
def body(
    x, *, vocabulary, embedding=100, units=300, layers=1, attention_units=350, hops=30, penalty=1.0, hidden=3000,
    dropout=0.5,
):  # fmt: skip
    """Classifies a text by its self-attentive embedding [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        embedding: width of the word vectors.
        units: u, width of each direction of the LSTM.
        layers: number of bidirectional layers.
        attention_units: d_a.
        hops: r, the number of rows of the embedding.
        penalty: weight of the penalty on equal rows of attention weights.
        hidden: width of the hidden layer of the classifier.
        dropout: fraction that training drops of the inputs of the hidden layer and of the classifier.
    """
    x = embed_tokens(x, vocabulary, embedding)
    x = stack(x, units, layers=layers, merge="concat")
    x = SelfAttentivePooling(hops, attention_units, penalty, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(dropout, name="dense_dropout")(x)
    x = keras.layers.Dense(hidden, activation="relu", name="dense")(x)
    return keras.layers.Dropout(dropout, name="dropout")(x)


LIN = "arXiv:1703.03130"
# fmt: off
#                                                                                                                        10,000 words and the layers of [2], whose LSTM has a second bias
self_attentive_yelp  = variant(body, "self_attentive_yelp",  embedding=100,           hops=30, hidden=3000, paper=LIN, params=56_200_905)
self_attentive_age   = variant(body, "self_attentive_age",   embedding=100,           hops=30, hidden=2000, paper=LIN, params=38_194_905)
self_attentive_small = variant(body, "self_attentive_small", embedding=300, layers=2, hops=4,  hidden=300,  paper=LIN, params=7_538_005)
# fmt: on

"""Texts without recurrence: an embedding that every word shares, and dense layers upon it.

[1] Chollet 2017, Deep learning with Python, listing 6.7: the words' vectors beside each other
[2] https://www.tensorflow.org/tutorials/keras/text_classification: their mean, a bag of words
"""

import keras

from kapps import heads
from kapps.builders import sequence_family, variant

WORDS = ("flatten", "mean")


@sequence_family(shape=(20,), vocabulary=10_000, classes=1, head=heads.binary_or_multiclass)
def embedding_classifier(x, *, vocabulary, embedding=8, units=(), words="flatten", dropout=0.0):
    """A fully connected network on words, whose first layer has the same weights for every word.

    Args:
        x: tokens; as many in each text where `words` is "flatten", shorter ones padded by 0.
        vocabulary: how many tokens there are, padding among them.
        embedding: width of a word's vector.
        units: widths of hidden layers.
        words: "flatten" for the words' vectors beside each other, so that a place has weights of its own after the
            embedding, and padding has a vector too; "mean" for their mean, without padding, in which order is lost.
        dropout: share of what the hidden layers and the classifier read that training drops.

    Raises:
        ValueError: for another form, and for an open length that is to be flattened.
    """
    if words not in WORDS:
        raise ValueError(f'words is "flatten" or "mean", not {words!r}')
    flat = words == "flatten"
    if flat and x.shape[1] is None:
        raise ValueError(
            'flattened words are of a known number, so input_shape is (steps,) with a number; or words is "mean"'
        )
    x = keras.layers.Embedding(vocabulary, embedding, mask_zero=not flat, name="embedding")(x)
    pool = keras.layers.Flatten if flat else keras.layers.GlobalAveragePooling1D
    x = pool(name=words)(x)
    for i, width in enumerate(units, start=1):
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dense{i}_dropout")(x)
        x = keras.layers.Dense(width, activation="relu", name=f"dense{i}")(x)
    return keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x


# fmt: off
#                                                                                                                          as the sources print
imdb_flat = variant(embedding_classifier, "imdb_flat", embedding=8, words="flatten", paper="Chollet 2017", params=80_161)
imdb_mean = variant(embedding_classifier, "imdb_mean", embedding=16, units=(16,), words="mean", shape=(None,), paper="tensorflow.org 2018", params=160_289)
# fmt: on

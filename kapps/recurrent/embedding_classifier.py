"""Text classification without recurrence: an embedding that all words share, and dense layers.

[1] Chollet 2017, Deep learning with Python, listing 6.7: the words' vectors are concatenated
[2] https://www.tensorflow.org/tutorials/keras/text_classification: the mean of the words' vectors, a bag of words
"""

import keras

from kapps import heads
from kapps.builders import sequence_family, variant

WORDS = ("flatten", "mean")


@sequence_family(shape=(20,), vocabulary=10_000, classes=1, head=heads.binary_or_multiclass)
def body(x, *, vocabulary, embedding=8, units=(), words="flatten", dropout=0.0):
    """Classifies a text by dense layers on its word embeddings.

    Args:
        x: tokens, int32 (batch, time), 0 for padding; with words="flatten" the number of steps is fixed.
        vocabulary: number of tokens, padding included.
        embedding: width of the embedding.
        units: width of each hidden layer.
        words: "flatten" concatenates the words' vectors, so that each position has its own weights and padding has a
            vector too; "mean" averages them without padding and ignores their order.
        dropout: fraction that training drops of the inputs of the hidden layers and of the classifier.

    Raises:
        ValueError: for another value of words, and if words="flatten" and the number of steps is None.
    """
    if words not in WORDS:
        raise ValueError(f'words is "flatten" or "mean", not {words!r}')
    flat = words == "flatten"
    if flat and x.shape[1] is None:
        raise ValueError(
            'words="flatten" needs a fixed number of steps: give input_shape=(steps,), or words="mean"'
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
#                                                                                                     as the sources print
imdb_flat = variant(body, "imdb_flat", embedding=8,  words="flatten",                            paper="Chollet 2017",        params=80_161)
imdb_mean = variant(body, "imdb_mean", embedding=16, words="mean", units=(16,), shape=(None,), paper="tensorflow.org 2018", params=160_289)
# fmt: on

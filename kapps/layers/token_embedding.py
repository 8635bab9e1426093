"""The embedding of tokens with which recurrent networks begin."""

from keras import layers


def embed_tokens(tokens, vocabulary, width, *, dropout=0.0, name="embedding"):
    """Embeds tokens: int32 (batch, time) to (batch, time, width). Token 0 is padding and is masked.

    Args:
        tokens: the tokens.
        vocabulary: number of tokens, padding included.
        width: width of the embedding.
        dropout: fraction of the embedding's values that training drops; 0 adds no layer.
        name: name of the embedding; the dropout is `name_dropout`.
    """
    x = layers.Embedding(vocabulary, width, mask_zero=True, name=name)(tokens)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x

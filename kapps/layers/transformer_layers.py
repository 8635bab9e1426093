"""The layers of the Transformer, built from parts.

[1] Vaswani 2017, arXiv:1706.03762
[2] Xiong 2020, arXiv:2002.04745: the norm before each part

An encoder layer has two parts, self-attention and a feed-forward network; a decoder layer attends to the encoder's
output between them [1, Figure 1]. Around each part are a residual connection and a norm. The parts are arguments, so
that a family that replaces one of them, for example self-attention by a convolution, passes its own part and keeps
the rest:

    self_attention(x, name=name)            # x: (batch, time, d_model); returns the same shape
    cross_attention(x, memory, name=name)   # memory: (batch, source time, d_model), the encoder's output
    feed_forward(x, name=name)

A part is any function with that signature, such as `multi_head_attention` and `feed_forward` below with their options
bound by `functools.partial`. A stack takes one part for all its layers, or a list with one part for each layer.
"""

from functools import partial

import keras

from kapps.layers.fast_layer_normalization import FastLayerNormalization
from kapps.layers.multi_head_attention import MultiHeadAttention
from kapps.layers.positional_encoding import LearnedPositionalEncoding, SinusoidalPositionalEncoding

EPSILON = 1e-6
"""The norms' epsilon in the code of [1]."""


def embed_with_positions(
    tokens, vocabulary, d_model, *, name, dropout, positions=None, embedding=None, shared=False, encoding=None
):  # fmt: skip
    """Embeds tokens, times sqrt(d_model), and adds the positional encoding [1, 3.4 and 3.5].

    Args:
        tokens: int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        d_model: width of the embedding.
        name: what the layers' names start with: `encoder_embedding`, `encoder_positions`, `encoder_dropout`.
        dropout: fraction of the values that training drops.
        positions: None for sines and cosines, or the number of learned positions.
        embedding: a `keras.layers.ReversibleEmbedding` to use again; None for a new one.
        shared: whether the new embedding is named `embedding`, because encoder and decoder share it.
        encoding: a layer that scales the vectors and adds the positional encoding, in place of `positions`.

    Returns:
        The vectors (batch, time, d_model), and the `keras.layers.ReversibleEmbedding`.
    """
    if embedding is None:
        embedding = keras.layers.ReversibleEmbedding(
            vocabulary, d_model, mask_zero=True, name="embedding" if shared else f"{name}_embedding",
            reverse_dtype="float32", embeddings_initializer=keras.initializers.RandomNormal(stddev=d_model**-0.5),
        )  # fmt: skip
    options = dict(scale=d_model**0.5, name=f"{name}_positions")
    if encoding is None and positions is None:
        encoding = SinusoidalPositionalEncoding(**options)
    elif encoding is None:
        encoding = LearnedPositionalEncoding(positions, **options)
    x = encoding(embedding(tokens))
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return x, embedding


def multi_head_attention(x, memory=None, *, heads, name, causal=False, use_bias=True, chunk=None):
    """Multi-head attention [1, 3.2]: self-attention of x, or attention from x to a memory.

    Args:
        x: queries (batch, time, d_model).
        memory: keys and values (batch, source time, d_model); None for x.
        heads: h, the number of heads, of d_model / h values each.
        name: name of the layer.
        causal: whether each step attends only to itself and earlier steps.
        use_bias: whether the projections have biases.
        chunk: number of queries that attend at a time, as for `kapps.layers.MultiHeadAttention`.
    """
    d_model = x.shape[-1]
    if d_model % heads:
        raise ValueError(f"d_model={d_model:,} is not divisible by heads={heads}; change either")
    attention = MultiHeadAttention(
        heads, d_model // heads, use_bias=use_bias, chunk=chunk, name=name
    )
    return attention(x, x if memory is None else memory, use_causal_mask=causal)


def feed_forward(x, *, units, name, activation="relu"):
    """Position-wise feed-forward network [1, 3.3]: FFN(x) = max(0, x W_1 + b_1) W_2 + b_2.

    Args:
        x: (batch, time, d_model).
        units: d_ff, the width of the hidden layer.
        name: what the layers' names start with: `name1`, `name2`.
        activation: Keras name of the hidden layer's activation.
    """
    hidden = keras.layers.Dense(units, activation, name=f"{name}1")(x)
    return keras.layers.Dense(x.shape[-1], name=f"{name}2")(hidden)


def layer_norm(name):
    """Returns the layer normalisation of [1]."""
    return FastLayerNormalization(epsilon=EPSILON, name=name)


def residual(x, part, *, name, dropout=0.0, norm_first=False):
    """LayerNorm(x + part(x)) [1, 3.1], or with norm_first x + part(LayerNorm(x)) [2].

    Args:
        x: (batch, time, d_model).
        part: `part(x, name=name)`, which returns the same shape.
        name: name of the part; `name_norm`, `name_dropout` and `name_add` are around it.
        dropout: fraction of the part's output that training drops.
        norm_first: whether the norm comes before the part.
    """
    norm = layer_norm(f"{name}_norm")
    y = part(norm(x) if norm_first else x, name=name)
    if dropout:
        y = keras.layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = keras.layers.Add(name=f"{name}_add")([x, y])
    return y if norm_first else norm(y)


def encoder_layer(x, *, self_attention, feed_forward, name, **options):
    """One encoder layer [1, Figure 1, left]. The options are those of `residual`."""
    x = residual(x, self_attention, name=f"{name}_attention", **options)
    return residual(x, feed_forward, name=f"{name}_ffn", **options)


def decoder_layer(
    x, memory=None, *, self_attention, feed_forward, name, cross_attention=None, **options
):
    """One decoder layer [1, Figure 1, right]. Without `memory` it has no cross-attention."""
    x = residual(x, self_attention, name=f"{name}_attention", **options)
    if memory is not None:
        x = residual(x, partial(cross_attention, memory=memory), name=f"{name}_cross", **options)
    return residual(x, feed_forward, name=f"{name}_ffn", **options)


def encoder_stack(x, layers, *, self_attention, feed_forward, name="encoder", **options):
    """N encoder layers [1, 3.1]: (batch, time, d_model) to the same shape.

    Args:
        x: the embedded tokens.
        layers: N, the number of layers.
        self_attention, feed_forward: the parts; each one function, or a list with one function for each layer.
        name: what the layers' names start with: `encoder1_attention`, `encoder1_ffn1`, `encoder1_ffn_norm`.
        **options: dropout and norm_first, as for `residual`.
    """
    for i in range(layers):
        x = encoder_layer(
            x, self_attention=part_of_layer(self_attention, i), feed_forward=part_of_layer(feed_forward, i),
            name=f"{name}{i + 1}", **options,
        )  # fmt: skip
    return final_norm(x, name=name, **options)


def decoder_stack(
    x, memory, layers, *, self_attention, feed_forward, cross_attention=None, name="decoder", **options
):  # fmt: skip
    """N decoder layers [1, 3.1]: (batch, time, d_model) to the same shape.

    Args:
        x: the embedded tokens.
        memory: the encoder's output (batch, source time, d_model); None for a decoder without an encoder.
        layers: N, the number of layers.
        self_attention, feed_forward, cross_attention: the parts; each one function, or a list with one function for
            each layer. Self-attention must be causal.
        name: what the layers' names start with: `decoder1_attention`, `decoder1_cross`, `decoder1_ffn1`.
        **options: dropout and norm_first, as for `residual`.
    """
    for i in range(layers):
        x = decoder_layer(
            x, memory, self_attention=part_of_layer(self_attention, i), feed_forward=part_of_layer(feed_forward, i),
            cross_attention=part_of_layer(cross_attention, i), name=f"{name}{i + 1}", **options,
        )  # fmt: skip
    return final_norm(x, name=name, **options)


def final_norm(x, *, name, norm_first=False, dropout=0.0):
    """The norm after the last layer of a stack whose layers have the norm first [2]."""
    del dropout
    return layer_norm(f"{name}_norm")(x) if norm_first else x


def part_of_layer(part, i):
    """Returns the part of layer i: the part itself, or the i-th of a list of parts."""
    return part[i] if isinstance(part, (list, tuple)) else part

"""The Sparse Transformer: a Transformer decoder whose attention has sparse patterns, for long sequences.

[1] Child 2019, arXiv:1904.10509
[2] its code, https://github.com/openai/distribution_augmentation, and for the patterns
    https://github.com/openai/sparse_attention

    model = kapps.families.sparse_transformer(layers=4, d_model=128, ffn=512, positions=(16, 64), stride=64, summary=8)

The patterns are those of `kapps.layers.SparseAttention`: step i of a sequence of n attends to about sqrt(n) earlier
steps. The images of [1] are sequences of bytes, in order of rows, columns and colours.

Departures from the paper:
- The input is the sequence after a start token of the data; [2] has a trained vector in its place.
- Token 0 is padding, here one of the 256 bytes.
- The norms have the epsilon 1e-6, in [2] 1e-5; the output matrix starts from random values, in [2] from zeros for
  CIFAR-10; the attention weights have no dropout.
- The variance of the kernels is that of [2], 0.125 / fan-in, and for the last kernel of each part 0.0625 / (fan-in N).
  [1] has these numbers as standard deviations times the root of the fan-in.
- All heads of the fixed pattern read the same summary steps. In [1] heads can also read different ones.
"""

from functools import partial

import keras

from kapps import heads as model_heads
from kapps.builders import sequence_family, variant
from kapps.layers.axial_positional_encoding import AxialPositionalEncoding
from kapps.layers.feed_forward import sigmoid_gelu
from kapps.layers.sparse_attention import SparseAttention
from kapps.layers.sparse_patterns import PATTERNS
from kapps.layers.token_embedding import embed_tokens
from kapps.layers.transformer_layers import decoder_stack


def variance(scale):
    """Returns the initialisation by a normal distribution with the variance scale / fan-in."""
    return keras.initializers.VarianceScaling(scale, "fan_in", "untruncated_normal")


def attention(x, *, heads, key_dim, pattern, stride, summary, layers, name):
    """Causal self-attention with a sparse pattern."""
    return SparseAttention(
        heads, key_dim, x.shape[-1] // heads, pattern=pattern, stride=stride,
        summary=summary if "summary" in PATTERNS[pattern] else None,
        kernel_initializer=variance(0.125), output_initializer=variance(0.0625 / layers), name=name,
    )(x)  # fmt: skip


def feed_forward(x, *, units, layers, name):
    """x W_1 + b_1, the approximated GELU, W_2 and b_2."""
    hidden = keras.layers.Dense(
        units, sigmoid_gelu, kernel_initializer=variance(0.125), name=f"{name}1"
    )(x)
    return keras.layers.Dense(
        x.shape[-1], kernel_initializer=variance(0.0625 / layers), name=f"{name}2"
    )(hidden)


@sequence_family(
    shape=(None,), vocabulary=256, head=partial(model_heads.classifier, use_bias=False)
)
def body(
    x, *, vocabulary, layers=30, d_model=512, ffn=2048, heads=8, key_dim=None, patterns=("fixed",), stride=128,
    summary=32, positions=(96, 128), dropout=0.0,
):  # fmt: skip
    """Predicts the next token at each token of a sequence, from some of the tokens up to it [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens.
        layers: N, the number of layers.
        d_model: width of every layer's output.
        ffn: width of the feed-forward networks.
        heads: number of attention heads.
        key_dim: width of the queries and keys of a head; None for that of the values, d_model / heads.
        patterns: names of the patterns of `kapps.layers.SparseAttention`; layer i has the i-th, and after the last
            comes the first again.
        stride: l, the number of steps of a block.
        summary: c, the number of summary steps of a block, for "fixed" and "summary".
        positions: sizes of the axes of the positional encoding, for example rows, columns and colours of images; their
            product is the longest length. Each axis has trained vectors, which are added.
        dropout: fraction that training drops of the embedding and of the output of each part.
    """
    if d_model % heads:
        raise ValueError(f"d_model={d_model:,} is not divisible by heads={heads}; change either")
    x = embed_tokens(x, vocabulary, d_model)
    x = AxialPositionalEncoding(positions, name="positions")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    options = dict(
        heads=heads,
        key_dim=key_dim or d_model // heads,
        stride=stride,
        summary=summary,
        layers=layers,
    )
    return decoder_stack(
        x, None, layers,
        self_attention=[partial(attention, pattern=patterns[i % len(patterns)], **options) for i in range(layers)],
        feed_forward=partial(feed_forward, units=ffn, layers=layers),
        dropout=dropout, norm_first=True,
    )  # fmt: skip


CHILD = "arXiv:1904.10509"
STRIDED = ("strided",)
# fmt: off
#                                                                              N           d_model      d_ff       h                                               rows, columns, colours
sparse_transformer_cifar10    = variant(body, "sparse_transformer_cifar10",    layers=128, d_model=256, ffn=512,  heads=2,  key_dim=64, patterns=STRIDED,    positions=(32, 32, 3), dropout=0.25, paper=CHILD, params=59_196_672)
sparse_transformer_enwik8     = variant(body, "sparse_transformer_enwik8",     layers=30,  d_model=512, ffn=2048, heads=8,              patterns=("fixed",), positions=(96, 128),   dropout=0.4,  paper=CHILD, params=94_949_376)
sparse_transformer_imagenet64 = variant(body, "sparse_transformer_imagenet64", layers=48,  d_model=512, ffn=2048, heads=16,             patterns=STRIDED,    positions=(64, 64, 3),               paper=CHILD, params=151_644_672)
# fmt: on

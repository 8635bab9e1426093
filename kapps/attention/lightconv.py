"""Lightweight and dynamic convolutions: the Transformer with convolutions in place of self-attention.

[1] Wu 2019, arXiv:1901.10430
[2] Vaswani 2017, arXiv:1706.03762: what is around the convolutions
[3] their code, fairseq (Ott 2019, arXiv:1904.01038): the sizes, and `lightconv_iwslt_de_en`

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing
    model.fit([source, target], labels)
    tokens = kapps.translate(model, source, start=1, end=2)

The decoder attends to the encoder's output as that of the Transformer; its convolutions are causal. Its time and memory
are linear in the length of the target, and a decoding step keeps K - 1 inputs of each convolution.

Departures from the paper:
- Dropout is that of `kapps.attention.transformer`, and of the kernels.
- With 32,768 tokens the dynamic network has the paper's 213M parameters, and 200M without gated linear units; the
  lightweight one has its 195M without them. With them it has 208.9M, where the paper prints 202M.
- The code [3] has 13,312 unused biases in its dynamic network; they are left out.
"""

from functools import partial

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import DynamicConv1D, GatedLinearUnit, LightweightConv1D
from kapps.layers.transformer_layers import (
    decoder_stack,
    embed_with_positions,
    encoder_stack,
    feed_forward,
    multi_head_attention,
)


def convolution(x, *, kernel_size, padding, heads, dynamic, glu, dropout, name):
    """A dense layer with a gated linear unit, the convolution, and a dense layer [1, Figure 2].

    Args:
        x: (batch, time, d_model).
        kernel_size, padding, heads, dropout: as for `kapps.layers.LightweightConv1D`.
        dynamic: whether the convolution is a `kapps.layers.DynamicConv1D`.
        glu: whether there is a gated linear unit.
        name: what the layers' names start with: `name1`, `name_glu`, `name_conv`, `name2`.
    """
    d_model = x.shape[-1]
    x = layers.Dense(2 * d_model if glu else d_model, name=f"{name}1")(x)
    if glu:
        x = GatedLinearUnit(name=f"{name}_glu")(x)
    kind = DynamicConv1D if dynamic else LightweightConv1D
    x = kind(heads, kernel_size, padding, dropout, name=f"{name}_conv")(x)
    return layers.Dense(d_model, name=f"{name}2")(x)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=32_768)
def body(
    x, *, vocabulary, source_vocabulary=None, encoder_kernels=(3, 7, 15, 31, 31, 31, 31),
    decoder_kernels=(3, 7, 15, 31, 31, 31), d_model=1024, ffn=4096, heads=16, dynamic=False, glu=True, dropout=0.3,
    kernel_dropout=0.1,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary: number of tokens, padding (0) included; with source_vocabulary, those of the target only.
        source_vocabulary: number of source tokens, if the source has its own embedding; None to share the target's.
        encoder_kernels: K of each layer of the encoder, odd numbers.
        decoder_kernels: K of each layer of the decoder.
        d_model: width of every layer's output.
        ffn: width of the feed-forward networks.
        heads: H, the number of kernels of each convolution, and of heads of the attention to the encoder.
        dynamic: whether the kernels are computed from each step, or are weights.
        glu: whether a gated linear unit comes before each convolution.
        dropout: fraction that training drops of the embeddings and of each part's output.
        kernel_dropout: fraction that training drops of the normalised kernels.
    """
    source, target = x
    shared = source_vocabulary is None
    embed = partial(embed_with_positions, d_model=d_model, dropout=dropout, positions=None)
    part = partial(convolution, heads=heads, dynamic=dynamic, glu=glu, dropout=kernel_dropout)
    network = partial(feed_forward, units=ffn)

    x, embedding = embed(source, source_vocabulary or vocabulary, name="encoder", shared=shared)
    parts = [partial(part, kernel_size=k, padding="same") for k in encoder_kernels]
    memory = encoder_stack(
        x, len(parts), self_attention=parts, feed_forward=network, dropout=dropout
    )

    x, embedding = embed(
        target, vocabulary, name="decoder", embedding=embedding if shared else None
    )
    parts = [partial(part, kernel_size=k, padding="causal") for k in decoder_kernels]
    x = decoder_stack(
        x, memory, len(parts), self_attention=parts, cross_attention=partial(multi_head_attention, heads=heads),
        feed_forward=network, dropout=dropout,
    )  # fmt: skip
    return x, embedding


WU = "arXiv:1901.10430"
BASE, BIG = (
    dict(d_model=512, ffn=2048, heads=8, dropout=0.1),
    dict(d_model=1024, ffn=4096, heads=16),
)
IWSLT = dict(d_model=512, ffn=1024, heads=4, glu=False, source_vocabulary=8_848, vocabulary=6_632)
# fmt: off
lightconv_base    = variant(body, "lightconv_base",    **BASE,                paper=WU, params=60_655_704)
lightconv_big     = variant(body, "lightconv_big",     **BIG,                 paper=WU, params=208_867_504)
lightconv_iwslt   = variant(body, "lightconv_iwslt",   **IWSLT,               paper=WU, params=34_743_852)
dynamicconv_base  = variant(body, "dynamicconv_base",  **BASE,  dynamic=True, paper=WU, params=61_747_200)
dynamicconv_big   = variant(body, "dynamicconv_big",   **BIG,   dynamic=True, paper=WU, params=213_237_760)
dynamicconv_iwslt = variant(body, "dynamicconv_iwslt", **IWSLT, dynamic=True, paper=WU, params=35_289_600)
# fmt: on

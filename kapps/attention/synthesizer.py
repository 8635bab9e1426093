"""The Synthesizer: a Transformer whose self-attention has scores that are not products of queries and keys.

[1] Tay 2020, arXiv:2005.00743, sections 3 and 4.1
[2] Mesh TensorFlow, https://github.com/tensorflow/mesh, which weights a mixture by trained numbers

The layer is `kapps.layers.SynthesizerAttention`. Attention from the decoder to the encoder is that of the Transformer
[1, 4.1]. All sequences have at most `length` steps.

Departures from the papers:
- [1] prints parameters in millions for an unknown vocabulary and length. With 37,000 tokens and 256 steps the kinds
  "random" and "factorised_random" differ from the Transformer as its table says. No source has the exact size of the
  dense kinds, so they have no builder here: `kapps.families.synthesizer(kinds=("dense",))`.
- The numbers of a mixture are one for each kind and layer; [1] does not count them.
"""

from functools import partial

from kapps.builders import sequence_family, variant
from kapps.layers.synthesizer_attention import SynthesizerAttention
from kapps.layers.transformer_layers import (
    decoder_stack,
    embed_with_positions,
    encoder_stack,
    feed_forward,
    multi_head_attention,
)


def synthesizer_attention(x, *, heads, name, causal=False, **options):
    """Self-attention of x, (batch, time, d_model), with synthetic scores; the options are those of the layer."""
    if x.shape[-1] % heads:
        raise ValueError(
            f"d_model={x.shape[-1]:,} is not divisible by heads={heads}; change either"
        )
    attention = SynthesizerAttention(heads, x.shape[-1] // heads, name=name, **options)
    return attention(x, use_causal_mask=causal)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=37_000)
def body(
    x, *, vocabulary, source_vocabulary=None, kinds=("random",), length=256, rank=8, layers=6, d_model=512, ffn=2048,
    heads=8, dropout=0.1, norm_first=False, activation="relu", use_bias=False, tied=True, chunk=None,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each, of at most `length` steps.
        kinds: the kinds of scores, as for `kapps.layers.SynthesizerAttention`; several make a mixture.
        length: N, the largest number of steps.
        rank: k, the number of columns of a factorised random matrix.
        vocabulary, source_vocabulary, layers, d_model, ffn, heads, dropout, norm_first, activation, use_bias, tied: as
            for `kapps.families.transformer`.
        chunk: number of queries of attention to the encoder that attend at a time; None for all.
    """
    source, target = x
    shared = tied and source_vocabulary is None
    embed = partial(embed_with_positions, d_model=d_model, dropout=dropout, positions=None)
    attention = partial(
        synthesizer_attention, heads=heads, length=length, kinds=tuple(kinds), rank=rank, use_bias=use_bias
    )  # fmt: skip
    network = partial(feed_forward, units=ffn, activation=activation)
    around = dict(dropout=dropout, norm_first=norm_first)

    x, embedding = embed(source, source_vocabulary or vocabulary, name="encoder", shared=shared)
    memory = encoder_stack(x, layers, self_attention=attention, feed_forward=network, **around)

    x, embedding = embed(
        target, vocabulary, name="decoder", embedding=embedding if shared else None
    )
    x = decoder_stack(
        x, memory, layers, self_attention=partial(attention, causal=True),
        cross_attention=partial(multi_head_attention, heads=heads, use_bias=use_bias, chunk=chunk),
        feed_forward=network, **around,
    )  # fmt: skip
    return (x, embedding) if tied else x


TAY = "arXiv:2005.00743"
# fmt: off
#                                                                                   scores                                             trainable parameters
synthesizer_random             = variant(body, "synthesizer_random",             kinds=("random",),               length=256,         paper=TAY, params=63_045_632)
synthesizer_fixed_random       = variant(body, "synthesizer_fixed_random",       kinds=("fixed_random",),         length=256,         paper=TAY, params=56_754_176)
synthesizer_factorised_random  = variant(body, "synthesizer_factorised_random",  kinds=("factorised_random",),    length=256, rank=8, paper=TAY, params=57_147_392)
synthesizer_random_dot_product = variant(body, "synthesizer_random_dot_product", kinds=("random", "dot_product"), length=256,         paper=TAY, params=69_337_112)
# fmt: on

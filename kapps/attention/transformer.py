"""The Transformer: an encoder and a decoder of attention and feed-forward layers, without recurrence.

[1] Vaswani 2017, arXiv:1706.03762; Table 3 has the base and the big model
[2] Xiong 2020, arXiv:2002.04745: the norm before each part, and one after the last layer
[3] Wu 2021, arXiv:2105.14462: the smallest model, for the 29,000 sentences of Multi30k; here with 10,000 subwords
[4] Ott 2019, fairseq, arXiv:1904.01038: `transformer_iwslt_de_en`, for the 160,000 sentences of IWSLT 2014; German and
    English have their own subwords there, and the decoder's embedding and logits share one matrix

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing
    model.fit([source, target], labels)
    tokens = kapps.translate(model, source, start=1, end=2)

The layers are in `kapps.layers.transformer_layers`. `transformer_encoder` is the encoder without
a decoder, `transformer_decoder` the decoder without an encoder.

Departures from the papers:
- Dropout is applied to the embeddings and to the output of each part, as [1] says. The code of [1], [3] and [4] can also
  drop attention weights and inner values of the feed-forward network.
- The norms have the epsilon of the code of [1], 1e-6.
- [1] has "about 37,000" tokens. Its 65M parameters for base come out at 41,000 tokens, its 213M for big at 36,000.
"""

from functools import partial

from kapps.builders import sequence_family, variant
from kapps.layers.transformer_layers import (
    decoder_stack,
    embed_with_positions,
    encoder_stack,
    feed_forward,
    multi_head_attention,
)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=37_000)
def body(
    x, *, vocabulary, source_vocabulary=None, layers=6, d_model=512, ffn=2048, heads=8, dropout=0.1, norm_first=False,
    activation="relu", use_bias=True, tied=True, positions=None, chunk=None,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary: number of tokens, padding (0) included; with source_vocabulary, those of the target only.
        source_vocabulary: number of source tokens, if the source has its own embedding; None to share the target's.
        layers: N, the number of layers of the encoder and of the decoder.
        d_model: width of every layer's output.
        ffn: d_ff, the width of the feed-forward networks.
        heads: h, the number of attention heads, of d_model / h values each.
        dropout: P_drop, for the embeddings and each part's output.
        norm_first: whether the norm comes before each part [2] instead of after its residual sum.
        activation: Keras name of the feed-forward networks' activation.
        use_bias: whether the projections of attention have biases; the equations of [1] have none.
        tied: whether the embeddings and the logits share one matrix [1, 3.4]; the source's embedding only without
            source_vocabulary.
        positions: None for sinusoidal positional encodings, of any length; or the number of learned ones [1, Table 3 (E)].
        chunk: number of queries that attend at a time, which saves memory for long sequences; None for all.
    """
    source, target = x
    shared = tied and source_vocabulary is None
    embed = partial(embed_with_positions, d_model=d_model, dropout=dropout, positions=positions)
    attention = partial(multi_head_attention, heads=heads, use_bias=use_bias, chunk=chunk)
    network = partial(feed_forward, units=ffn, activation=activation)
    around = dict(dropout=dropout, norm_first=norm_first)

    x, embedding = embed(source, source_vocabulary or vocabulary, name="encoder", shared=shared)
    memory = encoder_stack(x, layers, self_attention=attention, feed_forward=network, **around)

    x, embedding = embed(
        target, vocabulary, name="decoder", embedding=embedding if shared else None
    )
    x = decoder_stack(
        x, memory, layers, self_attention=partial(attention, causal=True), cross_attention=attention,
        feed_forward=network, **around,
    )  # fmt: skip
    return (x, embedding) if tied else x


VASWANI, WU, OTT = "arXiv:1706.03762", "arXiv:2105.14462", "arXiv:1904.01038"
# fmt: off
#                                                       N         d_model      d_ff        h         P_drop
transformer_base  = variant(body, "transformer_base",  layers=6, d_model=512,  ffn=2048,  heads=8,  dropout=0.1, use_bias=False,                                  paper=VASWANI, params=63_045_632)
transformer_big   = variant(body, "transformer_big",   layers=6, d_model=1024, ffn=4096,  heads=16, dropout=0.3, use_bias=False,                                  paper=VASWANI, params=214_171_648)
transformer_iwslt = variant(body, "transformer_iwslt", layers=6, d_model=512,  ffn=1024,  heads=4,  dropout=0.3, source_vocabulary=8_848, vocabulary=6_632,        paper=OTT,     params=39_469_056)
transformer_tiny  = variant(body, "transformer_tiny",  layers=4, d_model=128,  ffn=256,   heads=4,  dropout=0.3,                         vocabulary=10_000,       paper=WU,      params=2_605_056)
# fmt: on

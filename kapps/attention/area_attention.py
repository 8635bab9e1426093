"""Area attention: a Transformer whose lower layers attend to runs of neighbouring steps, not only to single ones.

[1] Li 2019, arXiv:1810.10126
[2] Tensor2Tensor, https://github.com/tensorflow/tensor2tensor: `num_area_layers`, the layers from the bottom

The layer is `kapps.layers.MultiHeadAreaAttention`. Keys that are means and values that are sums have no weights, so the
sizes are those of the Transformer.
"""

from functools import partial

from kapps.builders import sequence_family, variant
from kapps.layers.multi_head_area_attention import MultiHeadAreaAttention
from kapps.layers.transformer_layers import (
    decoder_stack,
    embed_with_positions,
    encoder_stack,
    feed_forward,
    multi_head_attention,
)


def area_attention(x, memory=None, *, heads, name, causal=False, **options):
    """Multi-head attention of x, (batch, time, d_model), to the areas of a memory; None for those of x.

    The options are those of `kapps.layers.MultiHeadAreaAttention`.
    """
    d_model = x.shape[-1]
    if d_model % heads:
        raise ValueError(f"d_model={d_model:,} is not divisible by heads={heads}; change either")
    attention = MultiHeadAreaAttention(heads, d_model // heads, name=name, **options)
    return attention(x, x if memory is None else memory, use_causal_mask=causal)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=37_000)
def body(
    x, *, vocabulary, source_vocabulary=None, area=3, area_layers=2, key_mode="mean", value_mode="sum", layers=6,
    d_model=512, ffn=2048, heads=8, dropout=0.1, norm_first=False, activation="relu", use_bias=False, tied=True,
    positions=None,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        area: m, the largest number of neighbouring steps of an area.
        area_layers: number of layers from the bottom, of the encoder and of the decoder, whose attention is to areas.
        key_mode, value_mode: as for `kapps.layers.MultiHeadAreaAttention`.
        vocabulary, source_vocabulary, layers, d_model, ffn, heads, dropout, norm_first, activation, use_bias, tied,
            positions: as for `kapps.families.transformer`.
    """
    source, target = x
    shared = tied and source_vocabulary is None
    embed = partial(embed_with_positions, d_model=d_model, dropout=dropout, positions=positions)
    options = dict(heads=heads, use_bias=use_bias)
    areas = partial(
        area_attention, max_width=area, key_mode=key_mode, value_mode=value_mode, **options
    )
    lower = min(area_layers, layers)
    attention = [areas] * lower + [partial(multi_head_attention, **options)] * (layers - lower)
    causal = [partial(part, causal=True) for part in attention]
    network = partial(feed_forward, units=ffn, activation=activation)
    around = dict(dropout=dropout, norm_first=norm_first)

    x, embedding = embed(source, source_vocabulary or vocabulary, name="encoder", shared=shared)
    memory = encoder_stack(x, layers, self_attention=attention, feed_forward=network, **around)

    x, embedding = embed(
        target, vocabulary, name="decoder", embedding=embedding if shared else None
    )
    x = decoder_stack(
        x, memory, layers, self_attention=causal, cross_attention=attention, feed_forward=network, **around
    )  # fmt: skip
    return (x, embedding) if tied else x


LI = "arXiv:1810.10126"
# fmt: off
#                                                            m        layers with areas
area_attention_base = variant(body, "area_attention_base", area=3, area_layers=2, layers=6, d_model=512, ffn=2048, heads=8, paper=LI, params=63_045_632)
# fmt: on

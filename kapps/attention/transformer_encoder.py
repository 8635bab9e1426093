"""The encoder of the Transformer without a decoder: predictions at each token of a text, which attends to all of it.

[1] Vaswani 2017, arXiv:1706.03762

With include_top=False and pooling="avg" it returns one vector for each text. The departures are those of
`kapps.attention.transformer`.
"""

from functools import partial

from kapps.builders import sequence_family
from kapps.layers.transformer_layers import (
    embed_with_positions,
    encoder_stack,
    feed_forward,
    multi_head_attention,
)


@sequence_family(shape=(None,), vocabulary=37_000)
def body(
    x, *, vocabulary, layers=6, d_model=512, ffn=2048, heads=8, dropout=0.1, norm_first=False, activation="relu",
    use_bias=True, tied=False, positions=None, chunk=None,
):  # fmt: skip
    """Predicts a class at each token of a text; each token attends to the whole text [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary, layers, d_model, ffn, heads, dropout, norm_first, activation, use_bias, positions, chunk: as for
            `kapps.families.transformer`.
        tied: whether the embedding and the logits share one matrix; the classes are then the tokens.
    """
    x, embedding = embed_with_positions(
        x, vocabulary, d_model, name="encoder", dropout=dropout, positions=positions
    )
    x = encoder_stack(
        x, layers,
        self_attention=partial(multi_head_attention, heads=heads, use_bias=use_bias, chunk=chunk),
        feed_forward=partial(feed_forward, units=ffn, activation=activation),
        dropout=dropout, norm_first=norm_first,
    )  # fmt: skip
    return (x, embedding) if tied else x

"""A language model with product-key memories: large tables replace some feed-forward networks of a Transformer decoder.

[1] Lample 2019, arXiv:1907.05242: 12 layers with one memory have a lower perplexity than 24 layers without
[2] their code, https://github.com/facebookresearch/XLM: `mem_dec_positions` of src/model/transformer.py
[3] Vaswani 2017, arXiv:1706.03762

The memory is `kapps.layers.ProductKeyMemory`; `kapps.analysis.product_key_usage` measures how many of its values are
used. [1] trains the values at a constant rate of 1e-3, and all other weights at a rate of 2.5e-4.

The number of layers, their width and the memory are those of [1]. d_ff = 4 d_model, 16 heads, 60,000 tokens and the
memory in the middle are not taken from it. The other departures are those of `kapps.attention.transformer`.
"""

from functools import partial

from kapps.builders import sequence_family, variant
from kapps.layers import ProductKeyMemory
from kapps.layers.transformer_layers import (
    decoder_stack,
    embed_with_positions,
    feed_forward,
    multi_head_attention,
)


def memory(x, *, name, **options):
    """PKM(x), in place of a feed-forward network; the stack adds it to x [1]."""
    return ProductKeyMemory(name=name, **options)(x)


@sequence_family(shape=(None,), vocabulary=60_000)
def body(
    x, *, vocabulary, layers=12, d_model=1024, ffn=4096, heads=16, memory_layers=(6,), sub_keys=512, k=32,
    memory_heads=4, key_dim=512, batch_norm=True, dropout=0.1, norm_first=False, activation="relu", use_bias=True,
    tied=True, positions=None, chunk=None,
):  # fmt: skip
    """Predicts the next token at each token of a text, from the tokens up to it; some layers have a memory [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary, layers, d_model, ffn, heads, dropout, norm_first, activation, use_bias, tied, positions, chunk: as
            for `kapps.families.transformer_decoder`.
        memory_layers: the layers, from 1, with a memory in place of a feed-forward network.
        sub_keys: n; a memory has n^2 values.
        k: number of values that each head reads.
        memory_heads: number of heads of the memory.
        key_dim: d_k, the width of the queries of a memory's head.
        batch_norm: whether these queries are normalised.
    """
    wrong = sorted(set(memory_layers) - set(range(1, layers + 1)))
    if wrong:
        raise ValueError(
            f"memory_layers={tuple(memory_layers)}: layer {wrong[0]} is not one of the layers 1 to {layers}"
        )
    network = partial(feed_forward, units=ffn, activation=activation)
    table = partial(
        memory, sub_keys=sub_keys, k=k, heads=memory_heads, key_dim=key_dim, batch_norm=batch_norm
    )
    x, embedding = embed_with_positions(
        x, vocabulary, d_model, name="decoder", dropout=dropout, positions=positions
    )
    x = decoder_stack(
        x, None, layers,
        self_attention=partial(multi_head_attention, heads=heads, causal=True, use_bias=use_bias, chunk=chunk),
        feed_forward=[table if i in memory_layers else network for i in range(1, layers + 1)],
        dropout=dropout, norm_first=norm_first,
    )  # fmt: skip
    return (x, embedding) if tied else x


LAMPLE = "arXiv:1907.05242"
# fmt: off
#                                                              N          d_model       memory              n             k     H               d_k
product_key_memory12 = variant(body, "product_key_memory12",  layers=12, d_model=1024, memory_layers=(6,), sub_keys=512, k=32, memory_heads=4, key_dim=512, paper=LAMPLE, params=475_788_288)
# fmt: on

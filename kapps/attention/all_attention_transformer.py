"""A language model of attention layers only: persistent learned vectors replace the feed-forward networks.

[1] Sukhbaatar 2019, arXiv:1907.01470
[2] their code, https://github.com/facebookresearch/adaptive-span, with the options of its scripts
[3] Sukhbaatar 2019, arXiv:1905.07799: the learned spans

The attention is `kapps.layers.AllAttention`. `kapps.layers.learned_spans`, `span_penalty` and `freeze_spans` are for
these models too. From spans of zero, with which [2] starts, a span grows slowly; short trainings start from 0.5.

The departures are those of `kapps.attention.adaptive_span_transformer`. The model of WikiText-103 in [2] has adaptive
inputs and an adaptive softmax and is not among the builders.
"""

from functools import partial

from kapps.builders import sequence_family, variant
from kapps.layers.all_attention import AllAttention
from kapps.layers.relative_position_scores import RelativePositionScores, span_attention
from kapps.layers.token_embedding import embed_tokens
from kapps.layers.transformer_layers import final_norm, residual


@sequence_family(shape=(None,), vocabulary=205)
def body(
    x, *, vocabulary, layers=18, d_model=512, heads=8, persistent=1024, span=8192, ramp=32, initial_span=0.0,
    span_loss=0.0, dropout=0.0, norm_first=False, block=None, stateful=False,
):  # fmt: skip
    """Predicts the next token at each token of a text, from the tokens before it and itself [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        persistent: N, the number of persistent vectors of each head.
        vocabulary, layers, d_model, heads, span, ramp, initial_span, span_loss, dropout, norm_first, block,
            stateful: as for `kapps.families.adaptive_span_transformer`.
    """
    positions = RelativePositionScores(heads, span, name="positions")
    attention = partial(
        span_attention, layer=AllAttention, positions=positions, persistent=persistent, ramp=ramp,
        initial_span=initial_span, span_loss=span_loss, block=block, stateful=stateful,
    )  # fmt: skip
    x = embed_tokens(x, vocabulary, d_model)
    for i in range(layers):
        x = residual(
            x, attention, name=f"decoder{i + 1}_attention", dropout=dropout, norm_first=norm_first
        )
    return final_norm(x, name="decoder", norm_first=norm_first)


SUKHBAATAR = "arXiv:1907.01470"
# fmt: off
#                                                                                   d                    N                S          lambda
all_attention_enwik8       = variant(body, "all_attention_enwik8",       layers=36, d_model=512, heads=8, persistent=2048, span=8192, span_loss=1e-7, dropout=0.4, paper=SUKHBAATAR, params=114_017_773)
all_attention_enwik8_small = variant(body, "all_attention_enwik8_small", layers=18, d_model=512, heads=8, persistent=1024, span=8192, span_loss=1e-7, dropout=0.3, paper=SUKHBAATAR, params=38_501_725)
# fmt: on

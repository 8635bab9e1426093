"""A language model whose attention heads learn how many steps back they attend.

[1] Sukhbaatar 2019, arXiv:1905.07799
[2] their code, https://github.com/facebookresearch/adaptive-span, with the options of its scripts
[3] Vaswani 2017, arXiv:1706.03762

    model = kapps.adaptive_span_enwik8_small()
    model.fit(...)                                               # the loss contains kapps.layers.span_penalty(model)
    spans = kapps.layers.learned_spans(model)
    kapps.visualize.plot_spans(spans, "spans.png")
    model = kapps.layers.freeze_spans(model)                     # a decoding cache of the longest span plus the ramp

The attention is `kapps.layers.AdaptiveSpanAttention`. [2] trains on blocks of 256 or 512 steps, after which come the next
ones of the same texts, and keeps the last S hidden states of each layer. stateful=True does this with keys and values:

    tokens = keras.Input(batch_shape=(64, 512), dtype="int32", name="tokens")
    model = kapps.families.adaptive_span_transformer(stateful=True, input_tensor=tokens)

and `kapps.training.ResetStates` sets them to zeros before each epoch. By default each sequence starts from zeros, as a text
does. [2] uses Adagrad, with the gradient of each weight clipped to a norm of 0.03.

Departures from [2]:
- Dropout is applied to the output of each part; [2] drops attention weights and inner values of the feed-forward part.
- The norms have an epsilon of 1e-6 in place of 1e-5.
- The tokens are those of the data sets, 205 bytes in enwik8 and 27 letters in text8. The first of them is padding here.
"""

from functools import partial

from kapps.builders import sequence_family, variant
from kapps.layers.adaptive_span import AdaptiveSpanAttention
from kapps.layers.relative_position_scores import RelativePositionScores, span_attention
from kapps.layers.token_embedding import embed_tokens
from kapps.layers.transformer_layers import decoder_stack, feed_forward


@sequence_family(shape=(None,), vocabulary=205)
def body(
    x, *, vocabulary, layers=12, d_model=512, ffn=2048, heads=8, span=8192, ramp=32, initial_span=0.0, span_loss=0.0,
    dropout=0.0, norm_first=False, block=None, stateful=False,
):  # fmt: skip
    """Predicts the next token at each token of a text, from the tokens before it and itself [1].

    Args:
        x: tokens, int32 (batch, time), 0 for padding.
        vocabulary: number of tokens, padding included.
        layers: number of layers.
        d_model: width of every layer's output.
        ffn: width of the feed-forward networks.
        heads: number of attention heads, of d_model / heads values each.
        span: S, the largest span in steps.
        ramp: R, the number of steps over which a span ends.
        initial_span: initial span of all heads, as a fraction of S.
        span_loss: lambda, the weight of the spans in the loss.
        dropout: fraction that training drops of each part's output.
        norm_first: whether the norm comes before each part instead of after its residual sum.
        block: number of steps that attend at a time; None for the number of steps back, from 32 to 512.
        stateful: whether a batch continues the texts of the batch before it, with its last S keys and values.
    """
    positions = RelativePositionScores(heads, span, name="positions")
    attention = partial(
        span_attention, layer=AdaptiveSpanAttention, positions=positions, ramp=ramp, initial_span=initial_span,
        span_loss=span_loss, block=block, stateful=stateful,
    )  # fmt: skip
    return decoder_stack(
        embed_tokens(x, vocabulary, d_model), None, layers, self_attention=attention,
        feed_forward=partial(feed_forward, units=ffn), dropout=dropout, norm_first=norm_first,
    )  # fmt: skip


SUKHBAATAR = "arXiv:1905.07799"
# fmt: off
#                                                                                  d           d_ff                  S          lambda                       tokens
adaptive_span_enwik8       = variant(body, "adaptive_span_enwik8",       layers=12, d_model=512, ffn=2048, heads=8, span=8192, span_loss=5e-7, dropout=0.3,                  paper=SUKHBAATAR, params=38_538_541)
adaptive_span_enwik8_large = variant(body, "adaptive_span_enwik8_large", layers=24, d_model=768, ffn=4096, heads=8, span=8192, span_loss=5e-7, dropout=0.4,                  paper=SUKHBAATAR, params=208_910_221)
adaptive_span_enwik8_small = variant(body, "adaptive_span_enwik8_small", layers=8,  d_model=256, ffn=1024, heads=4, span=1024, span_loss=2e-6,                               paper=SUKHBAATAR, params=6_480_621)
adaptive_span_text8        = variant(body, "adaptive_span_text8",        layers=12, d_model=512, ffn=2048, heads=8, span=8192, span_loss=5e-7, dropout=0.3, vocabulary=27, paper=SUKHBAATAR, params=38_356_091)
adaptive_span_text8_large  = variant(body, "adaptive_span_text8_large",  layers=24, d_model=768, ffn=4096, heads=8, span=8192, span_loss=5e-7, dropout=0.4, vocabulary=27, paper=SUKHBAATAR, params=208_636_635)
# fmt: on

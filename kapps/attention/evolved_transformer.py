"""The Evolved Transformer: cells that a search found, with convolutions next to attention.

[1] So 2019, arXiv:1901.11117
[2] their code, tensor2tensor (Vaswani 2018, arXiv:1803.07416)
[3] Vaswani 2017, arXiv:1706.03762

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing
    model.fit([source, target], labels)
    tokens = kapps.translate(model, source, start=1, end=2)

A norm comes before each part and after the last cell. A cell is about as large as two layers of the Transformer. A
decoding step keeps 10, 6 and 6 steps of the three convolutions of each cell next to the keys and values.

Departures from the paper:
- As in [2], a norm comes before the second dense layer of the decoder's cells. With it and 33,288 tokens all sizes are
  those that [1] prints.
- Dropout is that of `kapps.attention.transformer`.
"""

from functools import partial

from keras import layers

from kapps.builders import sequence_family, variant
from kapps.layers import GatedLinearUnit, PadChannels, SequenceConv1D, SequenceSeparableConv1D
from kapps.layers.transformer_layers import (
    embed_with_positions,
    feed_forward,
    layer_norm,
    multi_head_attention,
    residual,
)


def gated_linear_unit(x, *, name):
    """(x W + b) sigmoid(x V + c): both dense layers are one."""
    x = layers.Dense(2 * x.shape[-1], name=f"{name}1")(x)
    return GatedLinearUnit(name=name)(x)


def add_narrower(wide, narrow, *, name):
    """The sum of two branches; the narrower one has channels of zeros after its own. A norm follows."""
    narrow = PadChannels(wide.shape[-1], name=f"{name}_right_pad")(narrow)
    x = layers.Add(name=f"{name}_sum")([wide, narrow])
    return layer_norm(f"{name}_sum_norm")(x)


def encoder_convolutions(x, *, name):
    """A dense layer and a convolution of 3 steps in parallel, then a separable convolution of 9 steps."""
    d = x.shape[-1]
    left = layers.Dense(4 * d, "relu", name=f"{name}_left")(x)
    right = SequenceConv1D(d // 2, 3, padding="same", activation="relu", name=f"{name}_right")(x)
    x = add_narrower(left, right, name=name)
    x = SequenceSeparableConv1D(d // 2, 9, "same", name=f"{name}_separable")(x)
    return PadChannels(d, name=f"{name}_pad")(x)


def decoder_convolutions(x, *, name):
    """Separable causal convolutions of 11 and 7 steps in parallel, then one of 7 steps."""
    d = x.shape[-1]
    left = SequenceSeparableConv1D(
        2 * d, 11, "causal", activation="relu", name=f"{name}_left"
    )(x)  # fmt: skip
    right = SequenceSeparableConv1D(d // 2, 7, "causal", name=f"{name}_right")(x)
    x = add_narrower(left, right, name=name)
    return SequenceSeparableConv1D(d, 7, "causal", name=f"{name}_separable")(x)


def swish_network(x, *, name):
    """A feed-forward network with swish, and a norm of its hidden layer [2]."""
    hidden = layers.Dense(4 * x.shape[-1], "silu", name=f"{name}1")(x)
    hidden = layer_norm(f"{name}_hidden_norm")(hidden)
    return layers.Dense(x.shape[-1], name=f"{name}2")(hidden)


def encoder_cell(x, *, attention, part, name):
    """One cell of the encoder [1, Figure 3, left]: gates, convolutions, self-attention, feed-forward network."""
    x = part(x, gated_linear_unit, name=f"{name}_glu")
    x = part(x, encoder_convolutions, name=f"{name}_conv")
    x = part(x, attention, name=f"{name}_attention")
    return part(x, partial(feed_forward, units=4 * x.shape[-1]), name=f"{name}_ffn")


def parallel_attention(x, memory, *, attention, heads, dropout, name):
    """Self-attention with twice the heads, at most 16, and attention to the encoder, both added to x."""
    y = layer_norm(f"{name}_parallel_norm")(x)
    branches = {
        f"{name}_attention_many": attention(
            y, heads=min(2 * heads, 16), causal=True, name=f"{name}_attention_many"
        ),
        f"{name}_cross_first": attention(y, memory, heads=heads, name=f"{name}_cross_first"),
    }
    if dropout:
        branches = {
            key: layers.Dropout(dropout, name=f"{key}_dropout")(y) for key, y in branches.items()
        }
    return layers.Add(name=f"{name}_parallel_add")([x, *branches.values()])


def decoder_cell(x, memory, *, attention, heads, dropout, part, name):
    """One cell of the decoder [1, Figure 3, right]."""
    x = parallel_attention(
        x, memory, attention=attention, heads=heads, dropout=dropout, name=name
    )  # fmt: skip
    attention = partial(attention, heads=heads)
    x = part(x, decoder_convolutions, name=f"{name}_conv")
    x = part(x, partial(attention, causal=True), name=f"{name}_attention")
    x = part(x, partial(attention, memory=memory), name=f"{name}_cross")
    return part(x, swish_network, name=f"{name}_ffn")


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=33_288)
def body(
    x, *, vocabulary, source_vocabulary=None, encoder_cells=3, decoder_cells=4, d_model=512, heads=8, dropout=0.1
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary: number of tokens, padding (0) included; with source_vocabulary, those of the target only.
        source_vocabulary: number of source tokens, if the source has its own embedding; None to share the target's.
        encoder_cells: number of cells of the encoder.
        decoder_cells: number of cells of the decoder.
        d_model: width of every cell's output, an even number.
        heads: number of attention heads; the first self-attention of the decoder's cells has twice as many, at most 16.
        dropout: fraction that training drops of the embeddings and of each part's output.
    """
    if d_model % 2:
        raise ValueError(f"d_model={d_model:,} is odd; the convolutions have d_model / 2 channels")
    source, target = x
    shared = source_vocabulary is None
    embed = partial(embed_with_positions, d_model=d_model, dropout=dropout, positions=None)
    attention = partial(multi_head_attention, use_bias=False)
    part = partial(residual, dropout=dropout, norm_first=True)

    x, embedding = embed(source, source_vocabulary or vocabulary, name="encoder", shared=shared)
    for i in range(encoder_cells):
        x = encoder_cell(
            x, attention=partial(attention, heads=heads), part=part, name=f"encoder{i + 1}"
        )
    memory = layer_norm("encoder_norm")(x)

    x, embedding = embed(
        target, vocabulary, name="decoder", embedding=embedding if shared else None
    )
    for i in range(decoder_cells):
        x = decoder_cell(
            x, memory, attention=attention, heads=heads, dropout=dropout, part=part, name=f"decoder{i + 1}"
        )  # fmt: skip
    return layer_norm("decoder_norm")(x), embedding


SO = "arXiv:1901.11117"
# fmt: off
#                                                                        cells                                                                               parameters [1]: 7.2M, 64.1M, 221.7M, 218.1M
evolved_transformer_tiny = variant(body, "evolved_transformer_tiny", encoder_cells=3, decoder_cells=4,  d_model=128,  heads=4,               paper=SO, params=7_242_496)
evolved_transformer_base = variant(body, "evolved_transformer_base", encoder_cells=3, decoder_cells=4,  d_model=512,  heads=8,               paper=SO, params=64_064_512)
evolved_transformer_big  = variant(body, "evolved_transformer_big",  encoder_cells=3, decoder_cells=4,  d_model=1024, heads=16, dropout=0.3, paper=SO, params=221_714_432)
evolved_transformer_deep = variant(body, "evolved_transformer_deep", encoder_cells=9, decoder_cells=10, d_model=640,  heads=16, dropout=0.3, paper=SO, params=218_069_120)
# fmt: on

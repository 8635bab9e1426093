"""The Transformer: attention and dense layers alone, to translate, to tell of each token, to go on with a text.

[1] Vaswani 2017, arXiv:1706.03762; table 3 has base and big
[2] Xiong 2020, arXiv:2002.04745: the norm before each part, and one after the last
[3] Wu 2021, arXiv:2105.14462: the smallest, for the 29,000 sentences of Multi30k; here with 10,000 subwords
[4] Ott 2019, fairseq, arXiv:1904.01038: `transformer_iwslt_de_en`, for the 160,000 of IWSLT 2014; German and English
    have subwords of their own there, and the decoder's two matrices are one

    target = [[start, *words] ...]; labels = [[*words, end] ...]        # teacher forcing: it reads what was right
    model.fit([source, target], labels)
    found = kapps.translate(model, source, start=1, end=2)              # it reads what it wrote

Departures: [1] drops values of the parts' outputs and of the embeddings, as here; its code, and [3] and [4] as they were
trained, may drop some of the attention's weights and inner values too. Norms have the epsilon of the code of [1], 1e-6.
[1] has "about 37,000" tokens; its 65M for base come out at 41,000, its 213M for big at 36,000.
"""

import keras

from kapps.builders import sequence_family, variant
from kapps.layers import LearnedPositionalEncoding, MultiHeadAttention, SinusoidalPositionalEncoding


def embedded(
    tokens, vocabulary, d_model, *, name, dropout, positions, embedding=None, shared=False
):
    """Embeddings times sqrt(d_model), and the positions [1, 3.4 and 3.5]: (batch, time) to (batch, time, d_model).

    Returns them and the `keras.layers.ReversibleEmbedding`, which another call may be given.
    """
    embedding = embedding or keras.layers.ReversibleEmbedding(
        vocabulary, d_model, mask_zero=True, name="embedding" if shared else f"{name}_embedding",
        reverse_dtype="float32", embeddings_initializer=keras.initializers.RandomNormal(stddev=d_model**-0.5),
    )  # fmt: skip
    where = dict(scale=d_model**0.5, name=f"{name}_positions")
    places = (
        SinusoidalPositionalEncoding(**where)
        if positions is None
        else LearnedPositionalEncoding(positions, **where)
    )
    x = places(embedding(tokens))
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return x, embedding


def residual(x, part, *, name, dropout=0.0, norm_first=False):
    """LayerNorm(x + part(x)) [1, 3.1], or x + part(LayerNorm(x)) [2]; training drops some of what `part` gives."""
    norm = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")
    y = part(norm(x) if norm_first else x)
    if dropout:
        y = keras.layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = keras.layers.Add(name=f"{name}_add")([x, y])
    return y if norm_first else norm(y)


def attention(x, memory, *, heads, bias, chunk, name, causal=False):
    """What each step of x sees in `memory`, a sequence, or None for x itself; `causal`: of no later step."""
    d_model = x.shape[-1]
    if d_model % heads:
        raise ValueError(f"{heads} heads cannot share d_model={d_model:,} evenly; change either")
    layer = MultiHeadAttention(heads, d_model // heads, use_bias=bias, chunk=chunk, name=name)
    return layer(x, x if memory is None else memory, use_causal_mask=causal)


def feed_forward(x, ffn, *, activation, name):
    """max(0, x W_1 + b_1) W_2 + b_2 at each step [1, 3.3], where the activation is "relu"."""
    d_model = x.shape[-1]
    x = keras.layers.Dense(ffn, activation, name=f"{name}1")(x)
    return keras.layers.Dense(d_model, name=f"{name}2")(x)


def layer(
    x, memory=None, *, ffn, heads, name, causal, dropout, norm_first, activation, bias, chunk
):
    """The parts of one layer [1, 3.1]: self-attention, in a decoder attention to `memory`, a network at each step."""
    its = dict(heads=heads, bias=bias, chunk=chunk)
    around = dict(dropout=dropout, norm_first=norm_first)
    own, cross, dense = (f"{name}_{part}" for part in ("attention", "cross", "ffn"))
    x = residual(
        x, lambda y: attention(y, None, **its, causal=causal, name=own), name=own, **around
    )
    if memory is not None:
        x = residual(x, lambda y: attention(y, memory, **its, name=cross), name=cross, **around)
    return residual(
        x, lambda y: feed_forward(y, ffn, activation=activation, name=dense), name=dense, **around
    )


def stack(x, memory=None, *, layers, name, norm_first, **options):
    """Layers upon each other [1, 3.1]: (batch, time, d_model) to the same.

    Args:
        x: the sequence.
        memory: the encoder's output (batch, source time, d_model), which each layer of a decoder attends to; None in an
            encoder, and in a decoder that has none.
        layers, norm_first: as for `transformer`.
        name: what the layers' names start with: `decoder1_attention`, `decoder1_cross`, `decoder1_ffn1`,
            `decoder1_ffn_add`, `decoder_norm`.
        **options: as for `transformer`: ffn, heads, dropout, activation, bias, chunk; and causal: whether no step sees a
            later one.
    """
    for i in range(1, layers + 1):
        x = layer(x, memory, name=f"{name}{i}", norm_first=norm_first, **options)
    if norm_first:
        x = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    return x


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=37_000)
def transformer(
    x, *, vocabulary, source_vocabulary=None, layers=6, d_model=512, ffn=2048, heads=8, dropout=0.1, norm_first=False,
    activation="relu", bias=True, tied=True, positions=None, chunk=None,
):  # fmt: skip
    """Scores of the next token of a target, at each token of it, given a source [1].

    Args:
        x: tokens of the source, and of the target before each token that is to be found.
        vocabulary: how many tokens there are, padding (0) among them; of the target alone where the source has others.
        source_vocabulary: how many others the source has, with an embedding of its own; None: it has the target's.
        layers: N, of the encoder and of the decoder.
        d_model: width of every layer's output.
        ffn: d_ff, width of the network at each step.
        heads: h, of d_model / h values each.
        dropout: P_drop, of the embeddings and of each part's output.
        norm_first: whether the norm is before each part [2], and not after its sum.
        activation: of the network at each step, by Keras's name.
        bias: whether the projections of attention have biases; the equations of [1] have none.
        tied: whether the embeddings and the logits share one matrix [1, 3.4]; the source's only where it has the
            target's tokens.
        positions: None for sines and cosines, which know no longest sequence; the number of positions, for a trained
            vector of each [1, table 3 (E)].
        chunk: how many queries attend at a time, as for `kapps.layers.MultiHeadAttention`: long sequences then need
            less memory. None for all.
    """
    source, target = x
    around = dict(dropout=dropout, positions=positions)
    its = dict(
        layers=layers, ffn=ffn, heads=heads, dropout=dropout, norm_first=norm_first, activation=activation, bias=bias,
        chunk=chunk,
    )  # fmt: skip
    one = tied and source_vocabulary is None
    tokens = vocabulary if source_vocabulary is None else source_vocabulary
    x, embedding = embedded(source, tokens, d_model, name="encoder", shared=one, **around)
    memory = stack(x, causal=False, name="encoder", **its)
    x, embedding = embedded(
        target, vocabulary, d_model, name="decoder", embedding=embedding if one else None, **around
    )
    x = stack(x, memory, causal=True, name="decoder", **its)
    return (x, embedding) if tied else x


@sequence_family(shape=(None,), vocabulary=37_000)
def transformer_encoder(
    x, *, vocabulary, layers=6, d_model=512, ffn=2048, heads=8, dropout=0.1, norm_first=False, activation="relu",
    bias=True, tied=False, positions=None, chunk=None,
):  # fmt: skip
    """Scores at each token of a text, which sees all of it: the encoder of [1] alone.

    With include_top=False and pooling="avg" it gives one vector for a text.

    Args:
        x: tokens.
        vocabulary, layers, d_model, ffn, heads, dropout, norm_first, activation, bias, positions, chunk: as for
            `transformer`.
        tied: whether the embedding and the logits share one matrix; classes are then the tokens.
    """
    x, embedding = embedded(
        x, vocabulary, d_model, name="encoder", dropout=dropout, positions=positions
    )
    x = stack(
        x, causal=False, name="encoder", layers=layers, ffn=ffn, heads=heads, dropout=dropout, norm_first=norm_first,
        activation=activation, bias=bias, chunk=chunk,
    )  # fmt: skip
    return (x, embedding) if tied else x


@sequence_family(shape=(None,), vocabulary=37_000)
def transformer_decoder(
    x, *, vocabulary, layers=6, d_model=512, ffn=2048, heads=8, dropout=0.1, norm_first=False, activation="relu",
    bias=True, tied=True, positions=None, chunk=None,
):  # fmt: skip
    """Scores of the next token of a text, at each token of it: the decoder of [1] without an encoder.

    Args:
        x: tokens.
        vocabulary, layers, d_model, ffn, heads, dropout, norm_first, activation, bias, positions, chunk: as for
            `transformer`.
        tied: whether the embedding and the logits share one matrix.
    """
    x, embedding = embedded(
        x, vocabulary, d_model, name="decoder", dropout=dropout, positions=positions
    )
    x = stack(
        x, causal=True, name="decoder", layers=layers, ffn=ffn, heads=heads, dropout=dropout, norm_first=norm_first,
        activation=activation, bias=bias, chunk=chunk,
    )  # fmt: skip
    return (x, embedding) if tied else x


VASWANI, WU, OTT = "arXiv:1706.03762", "arXiv:2105.14462", "arXiv:1904.01038"
# fmt: off
#                                                              N         d_model      d_ff        h         P_drop
transformer_base  = variant(transformer, "transformer_base",  layers=6, d_model=512,  ffn=2048,  heads=8,  dropout=0.1, bias=False,                                               paper=VASWANI, params=63_045_632)
transformer_big   = variant(transformer, "transformer_big",   layers=6, d_model=1024, ffn=4096,  heads=16, dropout=0.3, bias=False,                                               paper=VASWANI, params=214_171_648)
transformer_iwslt = variant(transformer, "transformer_iwslt", layers=6, d_model=512,  ffn=1024,  heads=4,  dropout=0.3, source_vocabulary=8_848, vocabulary=6_632,                 paper=OTT,     params=39_469_056)
transformer_tiny  = variant(transformer, "transformer_tiny",  layers=4, d_model=128,  ffn=256,   heads=4,  dropout=0.3,                            vocabulary=10_000,               paper=WU,      params=2_605_056)
# fmt: on

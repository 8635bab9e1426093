"""The Universal Transformer: one layer of the encoder and one of the decoder, each applied several times.

[1] Dehghani 2019, arXiv:1807.03819, section 2
[2] Tensor2Tensor, https://github.com/tensorflow/tensor2tensor, models/research/universal_transformer_util.py
[3] Graves 2016, arXiv:1603.08983: adaptive computation time

The graph has every application of the layers, which share their weights. With `halting`, each position mixes the
outputs of as many of them as it needs (`kapps.layers.AdaptiveComputationTime`), and training has the ponder cost as a
loss of its own. A decoding step has a KV cache for each application, as the keys differ.

Departures from the papers:
- The norm comes before each part, and one after the last application, as in [2]; norm_first=False is [1].
- Each step has a trained vector, as in [2]; learned_steps=False has the sines and cosines of [1].
- The transition function is the Transformer's feed-forward network; [1] also has a separable convolution.
- A position whose halting probabilities do not reach 1 - epsilon in the last step keeps weights that do not sum to 1, as
  in [2].
"""

from functools import partial

from kapps.builders import sequence_family, variant
from kapps.layers.halting import AdaptiveComputationTime, HaltingUnit
from kapps.layers.positional_encoding import StepEncoding
from kapps.layers.shared_layers import call_again, model_of
from kapps.layers.transformer_layers import (
    decoder_layer,
    embed_with_positions,
    encoder_layer,
    feed_forward,
    final_norm,
    multi_head_attention,
)


def recurrence(x, layer, *, steps, inputs, name, encoding, halting, norm_first):
    """H^t = layer(H^(t-1) + P^t), t = 1 .. steps [1, equations 4 and 5]; returns H^steps or the halting mixture.

    Args:
        x: the embedded tokens with P^1, (batch, time, d_model).
        layer: `layer(x, name=name)`, called once; its layers are then called again.
        steps: T, the number of applications.
        inputs: the network's inputs, Keras tensors.
        name: "encoder" or "decoder".
        encoding: `encoding(t, name=name)`, the layer that adds P^t.
        halting: options of `AdaptiveComputationTime`; None for H^T.
        norm_first: whether a norm follows the last application.
    """
    states, outputs = [x], []
    for t in range(1, steps + 1):
        if t == 1:
            y = layer(x, name=f"{name}1")
            first = model_of(inputs, y)
        else:
            states.append(encoding(t, name=f"{name}_step{t}")(y))
            y = call_again(first, x, states[-1])
        outputs.append(y)
    if halting is not None:
        unit = HaltingUnit(name=f"{name}_halting")
        probabilities = [unit(state) for state in states]
        y = AdaptiveComputationTime(name=f"{name}_mixture", **halting)([*probabilities, *outputs])
    return final_norm(y, name=name, norm_first=norm_first)


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=33_288)
def body(
    x, *, vocabulary, source_vocabulary=None, steps=6, d_model=512, ffn=2048, heads=8, dropout=0.1, norm_first=True,
    activation="relu", use_bias=False, tied=True, learned_steps=True, halting=False, epsilon=0.01, ponder=0.01,
    mixture="recursive", chunk=None,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        vocabulary, source_vocabulary, d_model, ffn, heads, dropout, norm_first, activation, use_bias, tied, chunk: as
            for `kapps.families.transformer`.
        steps: T, the number of applications of each layer; with halting the largest one.
        learned_steps: whether each step has a trained vector [2], or sines and cosines of its number [1].
        halting: whether each position halts by itself [1, 2.2].
        epsilon, ponder, mixture: as for `kapps.layers.AdaptiveComputationTime`.
    """
    source, target = x
    inputs, shared = [source, target], tied and source_vocabulary is None
    encoding = partial(StepEncoding, learned=learned_steps)
    attention = partial(multi_head_attention, heads=heads, use_bias=use_bias, chunk=chunk)
    around = dict(
        feed_forward=partial(feed_forward, units=ffn, activation=activation), dropout=dropout, norm_first=norm_first
    )  # fmt: skip
    options = dict(
        steps=steps, inputs=inputs, encoding=encoding, norm_first=norm_first,
        halting=dict(epsilon=epsilon, ponder=ponder, mixture=mixture) if halting else None,
    )  # fmt: skip

    embed = partial(embed_with_positions, d_model=d_model, dropout=dropout)
    scale = d_model**0.5

    x, embedding = embed(
        source, source_vocabulary or vocabulary, name="encoder", shared=shared,
        encoding=encoding(1, scale=scale, name="encoder_step1"),
    )  # fmt: skip
    layer = partial(encoder_layer, self_attention=attention, **around)
    memory = recurrence(x, layer, name="encoder", **options)

    x, embedding = embed(
        target, vocabulary, name="decoder", embedding=embedding if shared else None,
        encoding=encoding(1, scale=scale, name="decoder_step1"),
    )  # fmt: skip
    layer = partial(
        decoder_layer, memory=memory, self_attention=partial(attention, causal=True), cross_attention=attention, **around
    )  # fmt: skip
    x = recurrence(x, layer, name="decoder", **options)
    return (x, embedding) if tied else x


DEHGHANI = "arXiv:1807.03819"
# fmt: off
#                                                                               T         d_model       d_ff       h
universal_transformer_small    = variant(body, "universal_transformer_small",    steps=6,  d_model=512,  ffn=2048, heads=8,                paper=DEHGHANI, params=24_401_920)
universal_transformer_base     = variant(body, "universal_transformer_base",     steps=6,  d_model=1024, ffn=4096, heads=16,               paper=DEHGHANI, params=63_483_904)
universal_transformer_adaptive = variant(body, "universal_transformer_adaptive", steps=12, d_model=1024, ffn=4096, heads=16, halting=True, paper=DEHGHANI, params=63_498_242)
# fmt: on

"""The depth-adaptive Transformer: the decoder uses fewer layers for easy tokens.

[1] Elbayad 2020, arXiv:1910.10073
[2] Ott 2019, fairseq, arXiv:1904.01038: `transformer_iwslt_de_en`, the network of [1, 5] without exits

After each layer n of the decoder is an exit: the classifier, which all exits share, may read h^n. The state of a token
that left at exit n is copied to the layers above n, so that later tokens attend to it there [1, 3.2]. The exit of a token
is chosen by one of four rules [1, 4]:

sequence:     q(n) = softmax(W mean(encoder) + b), the most probable exit, for all tokens
multinomial:  q_t(n) = softmax(W h_t^1 + b), the most probable exit
geometric:    chi_t^n = sigmoid(w . h_t^n + b), the first exit with chi > threshold
confidence:   the first exit where the largest probability of a token is above the threshold; no weights

Every layer is in the graph, and masks select the states (`kapps.layers.HaltingStep`), so that files have a fixed graph.

Training: `every_exit=True` builds the network whose tokens all leave together, aligned training [1, 3.1]. Its output,
(batch, time, exits, tokens), has the joint log probabilities of exit and token, for `kapps.training.ExitCrossentropy`.
The weights are those of the network that chooses its exits:

    trained = kapps.families.depth_adaptive_transformer(every_exit=True, classifier_activation=None, **options)
    trained.compile("adam", kapps.training.ExitCrossentropy())
    model = kapps.families.depth_adaptive_transformer(**options)
    values = {weight.path: weight for weight in trained.weights}
    for weight in model.weights:
        weight.assign(values[weight.path])

Departures from the paper:
- All exits share one classifier, the embedding's matrix; [1] does not say whether its classifiers share weights.
- Mixed training, which samples an exit for each token, and Poisson-binomial exits are not here.
"""

from functools import partial

import keras

from kapps.builders import sequence_family, variant
from kapps.layers.halting import HaltingStep, HaltingUnit
from kapps.layers.token_exits import (
    ChosenExit,
    ExitDistribution,
    GeometricDistribution,
    JointScores,
    LargestProbability,
)
from kapps.layers.transformer_layers import (
    decoder_layer,
    embed_with_positions,
    encoder_stack,
    feed_forward,
    multi_head_attention,
)

RULES = ("sequence", "multinomial", "geometric", "confidence")


def joint_classifier(x, classes, activation, *, embedding, q):
    """The head of all exits: log q(n) + log p_n(token), and an activation over the tokens.

    Args:
        x: the states of all exits, (batch, time, exits, d_model).
        classes: number of tokens of the embedding.
        activation: activation after the scores; None for the scores.
        embedding: a `keras.layers.ReversibleEmbedding`.
        q: the distribution of the exit, (batch, time or 1, exits).
    """
    if classes != embedding.input_dim:
        raise ValueError(
            f"classes={classes:,} is not {embedding.input_dim:,}, the number of tokens"
        )
    x = JointScores(dtype="float32", name="head_logits")([embedding(x, reverse=True), q])
    return keras.layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)


def exit_probabilities(rule, memory, layers):
    """Returns the layer that computes a distribution or a probability, and what it reads: None for each h^n."""
    if rule == "sequence":
        mean = keras.layers.GlobalAveragePooling1D(keepdims=True, name="exit_mean")
        return ExitDistribution(layers, name="exit"), mean(memory)
    if rule == "multinomial":
        return ExitDistribution(layers, name="exit"), None
    return (HaltingUnit(bias=0.0, name="exit") if rule == "geometric" else None), None


def all_exits(x, layer, layers, rule, unit, mean):
    """Returns the states of all exits, (batch, time, exits, d_model), and q or None."""
    states = []
    for n in range(1, layers + 1):
        x = layer(x, name=f"decoder{n}")
        states.append(x)
    q = None
    if rule == "geometric":
        q = GeometricDistribution(name="exit_distribution")([unit(h) for h in states[:-1]])
    elif rule != "confidence":
        q = unit(states[0] if mean is None else mean)
    return keras.ops.stack(states, axis=2), q


def chosen_exit(x, layer, layers, rule, unit, mean, *, threshold, embedding):
    """Returns the state of the exit that each token leaves at, (batch, time, d_model)."""
    halted, chosen = [], None if mean is None else ChosenExit(name="exit_choice")(unit(mean))
    for n in range(1, layers + 1):
        new = layer(x, name=f"decoder{n}")
        if n < layers:
            if rule == "confidence":
                confidence = LargestProbability(name=f"decoder{n}_confidence")
                p = confidence(embedding(new, reverse=True))
            elif rule == "geometric":
                p = unit(new)
            else:
                chosen = ChosenExit(name="exit_choice")(unit(new)) if chosen is None else chosen
                p = chosen[n - 1]
        # The last layer keeps the state of the halted; its p has no effect.
        x, *halted = HaltingStep(threshold, name=f"decoder{n}_exit")([new, x, p, *halted])
    return x


@sequence_family(inputs=("source", "target"), shape=(None,), vocabulary=6_632)
def body(
    x, *, vocabulary, source_vocabulary=None, rule="geometric", threshold=0.5, every_exit=False, layers=6, d_model=512,
    ffn=1024, heads=4, dropout=0.3, activation="relu", use_bias=True, positions=None, chunk=None,
):  # fmt: skip
    """Predicts the next token at each step of a target sequence, given a source sequence, with few layers if they do [1].

    Args:
        x: (source, target), int32 (batch, time) each; the target starts with the start token.
        rule: how a token's exit is chosen: "sequence", "multinomial", "geometric" or "confidence".
        threshold: of the geometric rule's chi or of the confidence; 1 or more for all layers.
        every_exit: whether to return all exits' predictions, (batch, time, exits, tokens), for training.
        layers: N, the number of layers of the encoder and of the decoder, and of exits; at least 2.
        vocabulary, source_vocabulary, d_model, ffn, heads, dropout, activation, use_bias, positions, chunk: as for `kapps.families.transformer`.
    """
    if rule not in RULES:
        raise ValueError(f"rule={rule!r} is not one of {', '.join(RULES)}")
    if layers < 2:
        raise ValueError(f"layers={layers}: exits need at least 2 layers")
    source, target = x
    shared = source_vocabulary is None
    embed = partial(embed_with_positions, d_model=d_model, dropout=dropout, positions=positions)
    attention = partial(multi_head_attention, heads=heads, use_bias=use_bias, chunk=chunk)
    network = partial(feed_forward, units=ffn, activation=activation)
    around = dict(dropout=dropout)

    x, embedding = embed(source, source_vocabulary or vocabulary, name="encoder", shared=shared)
    memory = encoder_stack(x, layers, self_attention=attention, feed_forward=network, **around)

    x, embedding = embed(
        target, vocabulary, name="decoder", embedding=embedding if shared else None
    )
    layer = partial(
        decoder_layer, memory=memory, self_attention=partial(attention, causal=True), cross_attention=attention,
        feed_forward=network, **around,
    )  # fmt: skip
    unit, mean = exit_probabilities(rule, memory, layers)
    if every_exit:
        x, q = all_exits(x, layer, layers, rule, unit, mean)
        return x, embedding if q is None else partial(joint_classifier, embedding=embedding, q=q)
    x = chosen_exit(x, layer, layers, rule, unit, mean, threshold=threshold, embedding=embedding)
    return x, embedding


ELBAYAD = "arXiv:1910.10073"
# fmt: off
#                                                                             rule                N         tokens of source and target
depth_adaptive_sequence    = variant(body, "depth_adaptive_sequence",    rule="sequence",    layers=6, source_vocabulary=8_848, vocabulary=6_632, paper=ELBAYAD, params=39_472_134)
depth_adaptive_multinomial = variant(body, "depth_adaptive_multinomial", rule="multinomial", layers=6, source_vocabulary=8_848, vocabulary=6_632, paper=ELBAYAD, params=39_472_134)
depth_adaptive_geometric   = variant(body, "depth_adaptive_geometric",   rule="geometric",   layers=6, source_vocabulary=8_848, vocabulary=6_632, paper=ELBAYAD, params=39_469_569)
depth_adaptive_confidence  = variant(body, "depth_adaptive_confidence",  rule="confidence",  layers=6, source_vocabulary=8_848, vocabulary=6_632, paper=ELBAYAD, params=39_469_056)
# fmt: on

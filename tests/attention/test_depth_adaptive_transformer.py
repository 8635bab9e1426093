"""The depth-adaptive Transformer: sizes, rules against copied states by hand, thresholds, exits, decoding, training."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation, training
from kapps.families import depth_adaptive_transformer, transformer
from kapps.generation import step_models

VOCABULARY, D, N = 13, 8, 3
SMALL = dict(vocabulary=VOCABULARY, layers=N, d_model=D, ffn=12, heads=2, dropout=0.0)
RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.integers(1, VOCABULARY, (3, 7)).astype("int32")
TARGET = RANDOM.integers(1, VOCABULARY, (3, 5)).astype("int32")
SOURCE[0, 4:] = TARGET[0, 3:] = 0
RULES = ("sequence", "multinomial", "geometric", "confidence")


def array(x):
    return keras.ops.convert_to_numpy(x)


def run(model, *inputs):
    return array(model(list(inputs), training=False))


def build(family=depth_adaptive_transformer, **options):
    """A small model of logits with random weights, the same for each name of a weight."""
    model = family(**{**SMALL, "classifier_activation": None, **options})
    for variable in model.weights:
        random = np.random.default_rng(list(variable.path.encode()))
        variable.assign(random.normal(variable.name == "gamma", 0.4, variable.shape))
    return model


def test_parameters_are_those_of_the_iwslt_transformer_and_an_exit_head():
    base, d, n = kapps.transformer_iwslt.card.params, 512, 6
    heads = {"sequence": d * n + n, "multinomial": d * n + n, "geometric": d + 1, "confidence": 0}
    for rule, size in heads.items():
        assert getattr(kapps, f"depth_adaptive_{rule}").card.params == base + size
        small = depth_adaptive_transformer(rule=rule, **SMALL).count_params()
        own = {512 * 6 + 6: D * N + N, 513: D + 1, 0: 0}[size]
        assert small == transformer(**SMALL).count_params() + own


def by_hand(model, rule, threshold):
    """Logits, and the exit of each token, of sequences without padding: h^n is computed layer by layer in a loop."""
    source, target = SOURCE[1:], TARGET[1:]
    layer = {x.name: x for x in model.layers}
    memory = keras.Model(model.inputs, layer["encoder3_ffn_norm"].output)([source, target])
    x = layer["decoder_positions"](layer["embedding"](target))
    table = array(layer["embedding"].embeddings)
    left = np.zeros(target.shape, "int32")  # the exit, 0 before a token has left
    for n in range(1, N + 1):
        name = f"decoder{n}"
        y = layer[f"{name}_attention_norm"](
            x + layer[f"{name}_attention"](x, x, use_causal_mask=True)
        )
        y = layer[f"{name}_cross_norm"](y + layer[f"{name}_cross"](y, memory))
        hidden = layer[f"{name}_ffn2"](layer[f"{name}_ffn1"](y))
        y = array(layer[f"{name}_ffn_norm"](y + hidden))
        x = np.where((left > 0)[..., None], array(x), y)
        if rule == "confidence":
            logits = x @ table.T
            p = np.exp(logits - logits.max(-1, keepdims=True))
            leaves = (p / p.sum(-1, keepdims=True)).max(-1) > threshold
        elif rule == "geometric":
            unit = layer["exit"]
            chi = 1 / (1 + np.exp(-(x @ array(unit.w) + array(unit.b))))[..., 0]
            leaves = chi > threshold
        else:
            if n == 1:
                head = layer["exit"]
                read = x if rule == "multinomial" else array(memory).mean(1, keepdims=True)
                chosen = 1 + np.argmax(read @ array(head.w) + array(head.b), axis=-1)
            leaves = np.broadcast_to(chosen == n, target.shape)
        left = np.where((left == 0) & (leaves | (n == N)), n, left)
    return x @ table.T, left


@pytest.mark.parametrize("rule, threshold", list(zip(RULES, (0.5, 0.5, 0.5, 0.3), strict=True)))
def test_logits_are_those_of_states_copied_by_hand(rule, threshold):
    model = build(rule=rule, threshold=threshold)
    if rule == "sequence":
        model.get_layer("exit").b.assign([0.0, 9.0, 0.0])
    if rule == "geometric":  # half of the tokens leave at the first exit
        first = keras.Model(model.inputs, model.get_layer("decoder1_ffn_norm").output)
        unit, h = model.get_layer("exit"), array(first([SOURCE[1:], TARGET[1:]]))
        unit.b.assign([-np.median(h @ array(unit.w))])
    expected, left = by_hand(model, rule, threshold)
    assert (left == 2).all() if rule == "sequence" else len(np.unique(left)) > 1
    np.testing.assert_allclose(run(model, SOURCE[1:], TARGET[1:]), expected, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("rule", ["geometric", "confidence"])
def test_a_threshold_of_1_is_the_transformer_and_a_threshold_near_0_its_first_layer(rule):
    whole = build(transformer)
    deep = build(rule=rule, threshold=1.0)
    expected = run(whole, SOURCE, TARGET)
    np.testing.assert_allclose(
        run(deep, SOURCE, TARGET)[TARGET > 0], expected[TARGET > 0], atol=1e-4
    )
    shallow = build(rule=rule, threshold=1e-9)
    every = build(rule=rule, every_exit=True)
    first = array(keras.ops.log_softmax(run(every, SOURCE, TARGET)[:, :, 0]))
    result = array(keras.ops.log_softmax(run(shallow, SOURCE, TARGET)))
    np.testing.assert_allclose(result, first, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("rule", RULES)
def test_joint_scores_have_the_distribution_of_the_exit(rule):
    every = build(rule=rule, every_exit=True)
    scores = run(every, SOURCE, TARGET)
    assert scores.shape == (3, 5, N, VOCABULARY)
    whole = run(build(transformer), SOURCE, TARGET)
    last = array(keras.ops.log_softmax(scores[:, :, -1]))
    np.testing.assert_allclose(
        last[TARGET > 0], array(keras.ops.log_softmax(whole))[TARGET > 0], atol=1e-4
    )
    if rule == "confidence":  # it has no distribution
        assert every.count_params() == build(transformer).count_params()
        return
    q = np.exp(scores).sum(-1)
    np.testing.assert_allclose(q.sum(-1), 1, rtol=1e-5, atol=1e-5)
    assert np.ptp(q) > 0.05
    if rule == "sequence":
        np.testing.assert_allclose(q[:, :1] + 0 * q, q, atol=1e-6)
    chosen = build(rule=rule)
    assert {v.path for v in every.weights} == {v.path for v in chosen.weights}


@pytest.mark.parametrize("rule", RULES)
def test_padding_changes_no_logit_and_single_steps_equal_the_whole(rule):
    model = build(rule=rule, threshold=0.45)
    result = run(model, SOURCE, TARGET)
    longer = run(model, *(np.pad(x, ((0, 0), (0, 4))) for x in (SOURCE, TARGET)))
    np.testing.assert_allclose(longer[:, :5][TARGET > 0], result[TARGET > 0], atol=1e-4)
    encoder, step = generation.encoder_and_step(model)
    encoded = encoder({"source": keras.ops.convert_to_tensor(SOURCE)}, training=False)
    states = step_models.initial_states(step, 3, length=5)
    assert len(states) == 1 + 2 * N and states["decoder3_attention_keys"].shape == (3, 5, 2, D // 2)
    for t, column in enumerate(TARGET.T):
        inputs = {"target": column[:, None], **encoded, **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        real = column > 0
        np.testing.assert_allclose(
            array(outputs["logits"])[real, 0], result[real, t], rtol=1e-5, atol=1e-5
        )


@pytest.mark.long
def test_aligned_training_lowers_both_losses():
    model = depth_adaptive_transformer(
        rule="geometric", every_exit=True, classifier_activation=None, **SMALL
    )
    model.compile(keras.optimizers.Adam(0.02), training.ExitCrossentropy(), run_eagerly=True)
    losses = [
        float(model.train_on_batch([SOURCE, TARGET], np.roll(TARGET, -1, 1))) for _ in range(8)
    ]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(rule="poisson"), ["rule", "poisson", "geometric"]),
        (dict(layers=1), ["layers", "1", "2"]),
        (dict(classes=4), ["classes=4", "13"]),
        (dict(classes=4, every_exit=True), ["classes=4", "13"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        depth_adaptive_transformer(**{**SMALL, **options})
    assert all(word in str(error.value) for word in words)

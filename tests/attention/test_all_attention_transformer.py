"""The all-attention network: the counts of the authors' code, its equations, decoding, frozen spans."""

import keras
import numpy as np
import pytest

from kapps import all_attention_enwik8, all_attention_enwik8_small, generation
from kapps.families import all_attention_transformer
from kapps.generation import step_models
from kapps.layers import freeze_spans, learned_spans

VOCABULARY, D, HEADS, SPAN, RAMP, N = 13, 8, 2, 6, 2, 5
SMALL = dict(
    vocabulary=VOCABULARY, layers=2, d_model=D, heads=HEADS, persistent=N, span=SPAN, ramp=RAMP, initial_span=0.4,
    classifier_activation=None,
)  # fmt: skip
TOKENS = np.random.default_rng(0).integers(1, VOCABULARY, (3, 7)).astype("int32")
TOKENS[0, 4:] = TOKENS[1, 6:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    """A small model of logits with random weights, and spans that differ by head and layer."""
    model = all_attention_transformer(**{**SMALL, **options})
    random = np.random.default_rng(2)
    for variable in model.weights:
        if variable.name == "v":
            variable.assign(random.uniform(0, 0.4, variable.shape))
        else:
            mean = 1.0 if variable.name == "gamma" else 0.0
            variable.assign(random.normal(mean, 0.4, variable.shape))
    return model


@pytest.mark.parametrize(
    "builder, layers, n, params",
    [(all_attention_enwik8_small, 18, 1024, 38_501_725), (all_attention_enwik8, 36, 2048, 114_017_773)],
)  # fmt: skip
def test_parameters_are_those_of_the_authors_class(builder, layers, n, params):
    """The numbers come from the authors' class; the formula says which weights they count."""
    layer = 4 * 512 * 512 + 8 + 2 * n * 512 + 2 * 512
    total = 205 * 512 + 513 * 205 + 8192 * 64 + layers * layer
    assert builder.card.params == total == params


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(x, w, name):
    """The authors' attention to the S steps before each step and to N vectors, head by head."""
    cached = np.concatenate([np.zeros((SPAN, D)), x])
    q, k, v = (
        x @ w[f"{name}_query/kernel"],
        cached @ w[f"{name}_key/kernel"],
        cached @ w[f"{name}_value/kernel"],
    )
    width, y = D // HEADS, np.zeros(x.shape)
    for h in range(HEADS):
        own = slice(width * h, width * (h + 1))
        keys = np.sqrt(width) * w[f"{name}/persistent_keys"][h]
        values = np.sqrt(N) * w[f"{name}/persistent_values"][h]
        mask = np.clip((RAMP + SPAN * w[f"{name}/v"][h] + np.arange(1 - SPAN, 1)) / RAMP, 0, 1)
        mask = np.concatenate([mask, np.ones(N)])
        for t in range(len(x)):
            scores = np.concatenate(
                [q[t, own] @ (k[t : t + SPAN, own].T + w["positions/p"]), q[t, own] @ keys.T]
            )
            weights = softmax(scores / np.sqrt(width)) * mask
            past = np.concatenate([v[t : t + SPAN, own], values])
            y[t, own] = weights / (weights.sum() + 1e-8) @ past
    return y @ w[f"{name}_output/kernel"]


def test_logits_are_the_equations():
    model = build()
    w = {v.path: array(v).astype("float64") for v in model.weights}
    result = array(model(TOKENS, training=False))
    for row, tokens in zip(result, TOKENS, strict=True):
        tokens = tokens[tokens > 0]
        x = w["embedding/embeddings"][tokens]
        for i in (1, 2):
            x = x + attention(x, w, f"decoder{i}_attention")
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
            norm = f"decoder{i}_attention_norm"
            x = x * w[f"{norm}/gamma"] + w[f"{norm}/beta"]
        expected = x @ w["head_logits/kernel"] + w["head_logits/bias"]
        np.testing.assert_allclose(row[: len(tokens)], expected, atol=1e-4)
    assert np.ptp(result) > 1 and not [x.name for x in model.layers if "ffn" in x.name]


def decode(model, tokens):
    step = generation.step_model(model)
    states = step_models.initial_states(step, len(tokens))
    size = sum(state.size for state in states.values()) // len(tokens)
    logits = []
    for column in tokens.T:
        inputs = {"tokens": column[:, None], **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        logits.append(array(outputs["logits"])[:, 0])
    return np.stack(logits, axis=1), size


@pytest.mark.parametrize("norm_first", [False, pytest.param(True, marks=pytest.mark.long)])
def test_decoding_equals_the_whole_pass_and_persistent_vectors_have_no_state(norm_first):
    model = build(norm_first=norm_first)
    expected, is_token = array(model(TOKENS, training=False)), TOKENS > 0
    logits, size = decode(model, TOKENS)
    np.testing.assert_allclose(logits[is_token], expected[is_token], rtol=1e-5, atol=1e-5)
    assert size == 2 * 2 * SPAN * D  # keys and values of S steps in two layers
    frozen = freeze_spans(model)
    logits, size = decode(frozen, TOKENS)
    np.testing.assert_allclose(logits[is_token], expected[is_token], rtol=1e-5, atol=1e-5)
    limits = [int(np.ceil(z.max())) + RAMP for z in learned_spans(model).values()]
    assert size == 2 * sum(limits) * D and max(limits) < SPAN
    assert len(frozen.trainable_variables) == len(model.trainable_variables) - 2

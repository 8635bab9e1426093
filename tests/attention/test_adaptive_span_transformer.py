"""The Transformer with adaptive attention spans: the counts of the authors' code, its equations, decoding, padding."""

import keras
import numpy as np
import pytest

import kapps
from kapps import generation
from kapps.families import adaptive_span_transformer
from kapps.generation import step_models
from kapps.layers import freeze_spans, learned_spans

VOCABULARY, D, HEADS, SPAN, RAMP = 13, 8, 2, 6, 2
SMALL = dict(
    vocabulary=VOCABULARY, layers=2, d_model=D, ffn=12, heads=HEADS, span=SPAN, ramp=RAMP, initial_span=0.4,
    classifier_activation=None,
)  # fmt: skip
TOKENS = np.random.default_rng(0).integers(1, VOCABULARY, (3, 7)).astype("int32")
TOKENS[0, 4:] = TOKENS[1, 6:] = 0


def array(x):
    return keras.ops.convert_to_numpy(x)


def build(**options):
    """A small model of logits with random weights, and spans that differ by head and layer."""
    model = adaptive_span_transformer(**{**SMALL, **options})
    random = np.random.default_rng(2)
    for variable in model.weights:
        if variable.name == "v":
            variable.assign(random.uniform(0, 0.4, variable.shape))
        else:
            mean = 1.0 if variable.name == "gamma" else 0.0
            variable.assign(random.normal(mean, 0.4, variable.shape))
    return model


@pytest.mark.parametrize(
    "name, layers, d, ffn, heads, span, tokens, params",
    [
        ("enwik8", 12, 512, 2048, 8, 8192, 205, 38_538_541),
        ("enwik8_large", 24, 768, 4096, 8, 8192, 205, 208_910_221),
        ("enwik8_small", 8, 256, 1024, 4, 1024, 205, 6_480_621),
        ("text8", 12, 512, 2048, 8, 8192, 27, 38_356_091),
        ("text8_large", 24, 768, 4096, 8, 8192, 27, 208_636_635),
    ],
)
def test_parameters_are_those_of_the_authors_class(
    name, layers, d, ffn, heads, span, tokens, params
):
    """The numbers come from the authors' class; the formula says which weights they count."""
    layer = 4 * d * d + heads + 2 * d * ffn + ffn + d + 2 * 2 * d
    total = tokens * d + (d + 1) * tokens + span * d // heads + layers * layer
    card = getattr(kapps, f"adaptive_span_{name}").card
    assert card.params == total == params and card.vocabulary == tokens


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def norm(x, w, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


def attention(x, w, name):
    """The authors' attention to the S steps before each step, which are zeros before the text, head by head."""
    cached = np.concatenate([np.zeros((SPAN, D)), x])
    q, k, v = (
        x @ w[f"{name}_query/kernel"],
        cached @ w[f"{name}_key/kernel"],
        cached @ w[f"{name}_value/kernel"],
    )
    width, y = D // HEADS, np.zeros(x.shape)
    for h in range(HEADS):
        own = slice(width * h, width * (h + 1))
        z = SPAN * w[f"{name}/v"][h]
        mask = np.clip((RAMP + z + np.arange(1 - SPAN, 1)) / RAMP, 0, 1)
        for t in range(len(x)):
            scores = q[t, own] @ (k[t : t + SPAN, own].T + w["positions/p"])
            weights = softmax(scores / np.sqrt(width)) * mask
            y[t, own] = weights / (weights.sum() + 1e-8) @ v[t : t + SPAN, own]
    return y @ w[f"{name}_output/kernel"]


def test_logits_are_the_equations():
    model = build()
    w = {v.path: array(v).astype("float64") for v in model.weights}
    result = array(model(TOKENS, training=False))
    for row, tokens in zip(result, TOKENS, strict=True):
        tokens = tokens[tokens > 0]
        x = w["embedding/embeddings"][tokens]
        for name in ("decoder1", "decoder2"):
            y = attention(x, w, f"{name}_attention")
            x = norm(x + y, w, f"{name}_attention_norm")
            hidden = np.maximum(x @ w[f"{name}_ffn1/kernel"] + w[f"{name}_ffn1/bias"], 0)
            y = hidden @ w[f"{name}_ffn2/kernel"] + w[f"{name}_ffn2/bias"]
            x = norm(x + y, w, f"{name}_ffn_norm")
        expected = x @ w["head_logits/kernel"] + w["head_logits/bias"]
        np.testing.assert_allclose(row[: len(tokens)], expected, atol=1e-4)
    assert np.ptp(result) > 1


def decode(model, tokens):
    step = generation.step_model(model)
    states = step_models.initial_states(step, len(tokens))
    sizes = sum(state.size for state in states.values()) // len(tokens)
    logits = []
    for column in tokens.T:
        inputs = {"tokens": column[:, None], **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        logits.append(array(outputs["logits"])[:, 0])
    return np.stack(logits, axis=1), sizes


@pytest.mark.parametrize("norm_first", [False, pytest.param(True, marks=pytest.mark.long)])
def test_decoding_equals_the_whole_pass_before_and_after_freezing(norm_first):
    model = build(norm_first=norm_first)
    expected, is_token = array(model(TOKENS, training=False)), TOKENS > 0
    logits, size = decode(model, TOKENS)
    np.testing.assert_allclose(logits[is_token], expected[is_token], rtol=1e-5, atol=1e-5)
    assert size == 2 * 2 * SPAN * D  # keys and values of S steps in two layers
    logits, size = decode(freeze_spans(model), TOKENS)
    np.testing.assert_allclose(logits[is_token], expected[is_token], rtol=1e-5, atol=1e-5)
    limits = [int(np.ceil(z.max())) + RAMP for z in learned_spans(model).values()]
    assert size == 2 * sum(limits) * D and max(limits) < SPAN


@pytest.mark.long
def test_padding_and_later_steps_change_no_logit():
    model = build()
    expected, is_token = array(model(TOKENS, training=False)), TOKENS > 0
    right = array(model(np.pad(TOKENS, ((0, 0), (0, 4))), training=False))[:, :7]
    left = array(model(np.pad(TOKENS, ((0, 0), (4, 0))), training=False))[:, 4:]
    for result in (left, right):
        np.testing.assert_allclose(result[is_token], expected[is_token], rtol=1e-5, atol=1e-5)
    changed = TOKENS.copy()
    changed[:, 3:] = 1 + changed[:, 3:] % (VOCABULARY - 1)
    after = array(model(changed, training=False))
    np.testing.assert_allclose(after[:, :3], expected[:, :3], rtol=1e-5, atol=1e-5)
    assert np.abs(after[:, 3:] - expected[:, 3:]).max() > 0.1


@pytest.mark.long
def test_generated_text_and_beam_search_use_the_windows():
    model = build()
    generated = generation.generate(model, [[3, 4, 5]], 8, temperature=0)[0]
    tokens = [3, 4, 5]
    for token in generated:
        logits = array(model(np.array([tokens]), training=False))[0, -1]
        assert token == 2 + int(np.argmax(logits[2:]))
        tokens.append(int(token))
    np.testing.assert_array_equal(generation.generate(model, [[3, 4, 5]], 8, beam=1)[0], generated)


@pytest.mark.tensorflow
@pytest.mark.long
def test_batches_of_a_stream_carry_the_windows_of_keys_and_values():
    """Training on blocks: Keras's `fit` carries the windows, and `ResetStates` sets them to zeros."""
    from kapps import training
    from kapps.training.checkpoint_state import list_carried_states

    tokens = keras.Input(batch_shape=(2, 4), dtype="int32", name="tokens")
    stateful = adaptive_span_transformer(**SMALL, stateful=True, input_tensor=tokens)
    whole = build()
    stateful.set_weights(whole.get_weights())
    streams = np.random.default_rng(5).integers(1, VOCABULARY, (2, 12))
    expected = array(whole(streams, training=False))
    blocks = [array(stateful(streams[:, t : t + 4], training=False)) for t in (0, 4, 8)]
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), expected, rtol=1e-5, atol=1e-5)
    states = list_carried_states(stateful)
    assert len(states) == 4 and all(np.ptp(array(state)) > 0 for state in states)
    stateful.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    reset = training.ResetStates()
    reset.set_model(stateful)
    reset.on_epoch_begin(0)
    assert not any(np.any(array(state)) for state in states)
    stateful.train_on_batch(streams[:, :4], streams[:, 1:5])
    assert all(np.ptp(array(state)) > 0 for state in states)


@pytest.mark.long
def test_layers_share_the_position_vectors_in_files_and_copies(tmp_path):
    model = build()
    assert sum(variable.name == "p" for variable in model.weights) == 1
    expected = array(model(TOKENS, training=False))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for other in (loaded, copy):
        np.testing.assert_allclose(array(other(TOKENS, training=False)), expected, atol=1e-6)

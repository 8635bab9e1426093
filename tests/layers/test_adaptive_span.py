"""Adaptive attention span: brute force, blocks, the constraint and the loss of the spans, decoding, frozen spans."""

import keras
import numpy as np
import pytest

from kapps import generation, visualize
from kapps.generation import step_models
from kapps.layers import (
    AdaptiveSpanAttention,
    RelativePositionScores,
    freeze_spans,
    learned_spans,
    span_penalty,
)
from kapps.layers.relative_position_scores import span_attention

HEADS, D, SPAN, RAMP, STEPS = 2, 4, 6, 3, 11
OPTIONS = dict(ramp=RAMP, initial_span=0.5)


def array(x):
    return keras.ops.convert_to_numpy(x)


def random_inputs(batch=2, steps=STEPS, span=SPAN):
    """Queries, keys and values, (batch, steps, HEADS D), and p, (D, span)."""
    random = np.random.default_rng(1)
    tensors = [random.normal(size=(batch, steps, HEADS * D)).astype("float32") for _ in range(3)]
    return tensors, random.normal(size=(D, span)).astype("float32")


def attend(layer, tensors, p, **options):
    """Returns the layer's output for queries, keys, values and p."""
    scores = tensors[0].reshape(*tensors[0].shape[:2], HEADS, D) @ p
    return array(layer([*tensors, scores], **options))


def build(spans, span=SPAN, **options):
    layer = AdaptiveSpanAttention(HEADS, span, ramp=RAMP, **options)
    layer.build([(None, None, HEADS * D)] * 3 + [(None, None, HEADS, span)])
    layer.v.assign(np.array(spans) / span)
    return layer


def brute_force(tensors, p, spans):
    """The authors' computation: a softmax over all S steps back, times the mask, divided by its sum + 1e-8."""
    query, key, value = (x.reshape(*x.shape[:2], HEADS, D).astype("float64") for x in tensors)
    batch, steps, span = *query.shape[:2], p.shape[1]
    y = np.zeros(query.shape)
    for b, t, h in np.ndindex(batch, steps, HEADS):
        scores, values, mask = np.zeros(span), np.zeros((span, D)), np.zeros(span)
        for x in range(1, span + 1):
            k = key[b, t - x, h] if x <= t else np.zeros(D)
            values[span - x] = value[b, t - x, h] if x <= t else 0
            scores[span - x] = query[b, t, h] @ (k + p[:, span - x]) / np.sqrt(D)
            mask[span - x] = np.clip((RAMP + spans[h] - (x - 1)) / RAMP, 0, 1)
        weights = np.exp(scores - scores.max())
        weights = weights / weights.sum() * mask
        y[b, t, h] = weights / (weights.sum() + 1e-8) @ values
    return y.reshape(batch, steps, HEADS * D)


@pytest.mark.parametrize("spans", [(0, 0), (2.3, 0.7), (6, 1)])
@pytest.mark.parametrize("block", [None, 1, 4, 50])
def test_outputs_are_those_of_the_authors_equations(spans, block):
    tensors, p = random_inputs()
    result = attend(build(spans, block=block), tensors, p)
    np.testing.assert_allclose(result, brute_force(tensors, p, spans), rtol=1e-5, atol=1e-5)
    assert np.abs(result[:, 0]).max() == 0 and np.ptp(result) > 1  # no step before the first one


@pytest.mark.parametrize("steps", [1, 3, 40])
def test_sequences_shorter_and_longer_than_the_span(steps):
    tensors, p = random_inputs(steps=steps)
    expected = brute_force(tensors, p, (4, 1.5))
    np.testing.assert_allclose(attend(build((4, 1.5)), tensors, p), expected, rtol=1e-5, atol=1e-5)


def test_a_limit_at_the_end_of_the_ramp_changes_nothing():
    tensors, p = random_inputs()
    expected = attend(build((1.5, 0.2)), tensors, p)
    assert build((1.5, 0.2), limit=5).reach == 5  # ceil(1.5) + 3
    for limit, difference in [(5, 0), (4, 1e-4)]:
        result = attend(build((1.5, 0.2), limit=limit), tensors, p)
        assert (np.abs(result - expected).max() > 1e-5) == (difference > 0)


def test_scores_far_outside_of_the_span_do_not_matter():
    """A softmax over all steps would round the weights of a span to 0 if steps outside of it had scores of 200 more."""
    tensors, p = random_inputs()
    p[:, :-3] *= 1000
    result = attend(build((0, 0)), tensors, p)
    np.testing.assert_allclose(result, attend(build((0, 0), limit=3), tensors, p), atol=1e-6)
    assert np.isfinite(result).all() and np.ptp(result) > 1


def test_masked_steps_are_as_steps_before_the_text():
    tensors, p = random_inputs()
    layer = build((4, 1))
    expected = attend(layer, tensors, p)
    left, right = (
        [np.pad(x, ((0, 0), sides, (0, 0)), constant_values=9) for x in tensors]
        for sides in ((3, 0), (0, 3))
    )
    mask = np.arange(STEPS + 3) >= np.full((2, 1), 3)
    for padded, own, steps in [
        (left, mask, slice(3, None)),
        (right, mask[:, ::-1], slice(0, STEPS)),
    ]:
        masks = [keras.ops.array(own.copy())] * 4
        result = attend(layer, padded, p, mask=masks)[:, steps]
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_no_matrix_has_a_score_for_all_pairs_of_steps(monkeypatch):
    sizes, matmul = [], keras.ops.matmul

    def record(*tensors):
        sizes.append(int(np.prod(matmul(*tensors).shape)))
        return matmul(*tensors)

    monkeypatch.setattr(keras.ops, "matmul", record)
    tensors, p = random_inputs(batch=1, steps=500)
    attend(build((4, 1)), tensors, p)
    # In blocks of 32: scores of the reach and the block; a full matrix has 500 for each query.
    assert max(sizes) == HEADS * 512 * (SPAN + 32)


def test_cost_grows_with_time_times_the_reach():
    layer = build((4, 1), span=64)
    for steps in (100, 1000):
        cost = layer.profile_cost([(2, steps, 8)] * 3 + [(2, steps, 2, 64)], [(2, steps, 8)])
        assert cost["macs"] == 2 * 2 * steps * HEADS * 64 * D
    frozen = build((4, 1), span=64, limit=7)
    shapes = [(2, 100, 8)] * 3 + [(2, 100, 2, 64)]
    assert frozen.profile_cost(shapes, [(2, 100, 8)])["macs"] == 2 * 2 * 100 * HEADS * 7 * D


def language_model(layers=2, vocabulary=9, span=SPAN, **options):
    """Embedding, layers of attention with residual sums, logits; random weights, and spans that differ by layer."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(
        vocabulary, HEADS * D, mask_zero=True, embeddings_initializer="normal"
    )(tokens)
    positions = RelativePositionScores(HEADS, span, name="positions")
    for i in range(layers):
        y = span_attention(
            x, layer=AdaptiveSpanAttention, positions=positions, name=f"layer{i + 1}", **{**OPTIONS, **options}
        )  # fmt: skip
        x = keras.layers.Add()([x, y])
    model = keras.Model(tokens, keras.layers.Dense(vocabulary, name="head_logits")(x), name="net")
    random = np.random.default_rng(4)
    for variable in model.weights:
        if variable.name != "v":
            variable.assign(random.normal(0, 0.7, variable.shape))
    for i in range(layers):
        model.get_layer(f"layer{i + 1}").v.assign(np.array([0.1, 0.25]) * (i + 1))
    return model


TOKENS = np.array([[3, 4, 2, 5, 6, 1, 7, 8, 2, 2, 4, 1], [5, 6, 7, 8, 1, 0, 0, 0, 0, 0, 0, 0]])


def decode(model, tokens):
    """Returns the logits of all steps one after the other, and the sizes of the states."""
    step = generation.step_model(model)
    states = step_models.initial_states(step, len(tokens))
    sizes = {name: state.shape for name, state in states.items()}
    logits = []
    for column in tokens.T:
        inputs = {"tokens": column[:, None], **states}
        inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        outputs = step(inputs, training=False)
        states = {name: outputs[name] for name in states}
        logits.append(array(outputs["logits"])[:, 0])
    return np.stack(logits, axis=1), sizes


@pytest.mark.long
def test_decoding_equals_the_whole_pass_with_a_state_of_s_steps():
    model = language_model()
    logits, sizes = decode(model, TOKENS)
    expected = array(model(TOKENS, training=False))
    np.testing.assert_allclose(logits[TOKENS > 0], expected[TOKENS > 0], rtol=1e-5, atol=1e-5)
    names = [f"layer{i}_{kind}_window" for i in (1, 2) for kind in ("key", "value")]
    assert sizes == dict.fromkeys(names, (2, SPAN, HEADS * D))


@pytest.mark.long
def test_frozen_spans_cut_the_state_to_the_longest_span_plus_the_ramp(tmp_path):
    model = language_model(layers=3, span=16)
    spans = learned_spans(model)
    np.testing.assert_allclose(spans["layer2"], [3.2, 8.0], rtol=1e-6)
    frozen = freeze_spans(model)
    # ceil(max z) + R = 4 + 3, 8 + 3 and 12 + 3 of 16 steps
    logits, sizes = decode(frozen, TOKENS)
    limits = {"layer1": 7, "layer2": 11, "layer3": 15}
    expected_sizes = {
        f"{name}_{kind}_window": (2, limit, HEADS * D)
        for name, limit in limits.items()
        for kind in ("key", "value")
    }
    assert sizes == expected_sizes
    expected = array(model(TOKENS, training=False))
    np.testing.assert_allclose(
        array(frozen(TOKENS, training=False)), expected, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(logits[TOKENS > 0], expected[TOKENS > 0], rtol=1e-5, atol=1e-5)
    assert frozen.get_layer("positions").p.shape == (D, 15)
    assert not any(variable.name == "v" for variable in frozen.trainable_variables)
    frozen.save(tmp_path / "frozen.keras")
    loaded = keras.saving.load_model(tmp_path / "frozen.keras", safe_mode=True)
    np.testing.assert_allclose(
        array(loaded(TOKENS, training=False)), expected, rtol=1e-5, atol=1e-5
    )
    again = learned_spans(freeze_spans(loaded))
    for name, values in spans.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-6)
    assert span_penalty(loaded) == 0


@pytest.mark.parametrize("steps", [2, 4, 12])
def test_a_stateful_layer_continues_the_sequences_of_the_call_before(steps):
    """Blocks shorter and longer than the span, one after the other, have the outputs of the whole sequence."""
    tensors, p = random_inputs(steps=12)
    layer = AdaptiveSpanAttention(HEADS, SPAN, ramp=RAMP, stateful=True)
    layer.build([(2, None, HEADS * D)] * 3 + [(2, None, HEADS, SPAN)])
    layer.v.assign(np.array([4, 1]) / SPAN)
    expected = attend(build((4, 1)), tensors, p)
    for _ in range(2):
        blocks = [[x[:, t : t + steps] for x in tensors] for t in range(0, 12, steps)]
        result = np.concatenate([attend(layer, block, p) for block in blocks], axis=1)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
        layer.reset_state()
    assert (
        len(layer.weights) == 1
        and [tuple(x.shape) for x in layer.states] == [(2, SPAN, HEADS * D)] * 2
    )
    with pytest.raises(ValueError, match="batch of a fixed size"):
        AdaptiveSpanAttention(HEADS, SPAN, stateful=True).build([(None, None, 8)] * 4)


def test_the_loss_of_the_spans_is_apart_from_the_tasks():
    model = language_model(span_loss=1.0)
    # lambda S mean(v) of both layers, with lambda = 1
    expected = SPAN * (0.175 + 0.35)
    assert span_penalty(model) == pytest.approx(expected, rel=1e-5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="task")
    model.compile(
        keras.optimizers.SGD(0.0), loss, metrics=[metric], jit_compile=False, run_eagerly=True
    )
    logs = model.train_on_batch(TOKENS[:1], TOKENS[:1], return_dict=True)  # without padding
    assert logs["loss"] - logs["task"] == pytest.approx(expected, rel=1e-3)
    model(TOKENS, training=False)
    assert not model.losses  # the loss is part of training only


@pytest.mark.parametrize("rate, end", [(1e3, 0.0), pytest.param(-1e3, 1.0, marks=pytest.mark.long)])
def test_training_keeps_spans_between_0_and_all(rate, end):
    """A step that is much too long ends at the boundary, by the constraint."""
    model = language_model(span_loss=1.0)
    for layer in model.layers:
        layer.trainable = layer.name in ("layer1", "layer2")
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False, run_eagerly=True)
    model.get_layer("layer1").span_loss = model.get_layer("layer2").span_loss = rate
    model.train_on_batch(TOKENS, np.zeros((*TOKENS.shape, 9)))
    for i in (1, 2):
        np.testing.assert_array_equal(array(model.get_layer(f"layer{i}").v), [end, end])


@pytest.mark.long
def test_gradients_of_the_spans_are_the_finite_differences():
    keras.config.set_dtype_policy("float64")
    try:
        model = language_model()
        for layer in model.layers:
            layer.trainable = layer.name in ("layer1", "layer2")
        tokens = TOKENS[:1]  # without padding, which the loss would leave out
        targets = np.random.default_rng(0).normal(size=(*tokens.shape, 9))

        def loss():
            return float(np.mean((array(model(tokens, training=False)) - targets) ** 2))

        spans = [model.get_layer(f"layer{i}").v for i in (1, 2)]
        for v, values in zip(spans, ([0.15, 0.4], [0.3, 0.55]), strict=True):
            v.assign(values)  # between two numbers of steps, where the derivative is defined
        expected = []
        for v in spans:
            start = array(v).copy()
            for h in range(HEADS):
                change = 1e-5 * np.eye(HEADS)[h]
                losses = []
                for sign in (1, -1):
                    v.assign(start + sign * change)
                    losses.append(loss())
                expected.append((losses[0] - losses[1]) / 2e-5)
            v.assign(start)
        before = np.concatenate([array(v) for v in spans])
        mse = keras.losses.MeanSquaredError()
        model.compile(keras.optimizers.SGD(1e-6), mse, jit_compile=False, run_eagerly=True)
        model.train_on_batch(tokens, targets)
        after = np.concatenate([array(v) for v in spans])
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose((before - after) / 1e-6, expected, rtol=1e-3, atol=1e-6)
    assert np.abs(expected).min() > 1e-5


@pytest.mark.long
def test_spans_grow_to_the_distance_of_the_answer():
    """The label is the token k steps back, without a loss of the spans: a head's span grows to at least k - R."""
    keras.utils.set_random_seed(1)
    k, span = 10, 16
    random = np.random.default_rng(0)
    tokens = random.integers(1, 9, (256, 24))
    labels = np.concatenate([tokens[:, :k] * 0, tokens[:, :-k]], axis=1)
    model = language_model(layers=1, span=span)
    model.get_layer("layer1").v.assign([0.5, 0.5])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=False)
    model.fit(tokens, labels, batch_size=32, epochs=40, verbose=0)
    assert learned_spans(model)["layer1"].max() >= k - RAMP
    assert model.evaluate(tokens, labels, verbose=0) < 0.3
    # With a strong loss the spans become shorter, and the answer is lost.
    model.get_layer("layer1").span_loss = 1.0
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=False)
    model.fit(tokens, labels, batch_size=32, epochs=10, verbose=0)
    assert learned_spans(model)["layer1"].max() < k - RAMP


@pytest.mark.long
def test_half_precision_and_configuration():
    model = language_model()
    expected = array(model(TOKENS, training=False))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = language_model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert half.get_layer("layer1").v.dtype == "float32"
    result = array(half(TOKENS, training=False)).astype("float32")
    assert np.isfinite(result).all() and np.abs(result - expected).max() < 0.05 * np.ptp(expected)
    layer = AdaptiveSpanAttention(2, 9, ramp=4, initial_span=0.3, span_loss=0.1, limit=5, block=3)
    assert AdaptiveSpanAttention.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(initial_span=1.5), ["initial_span=1.5", "0 to 1"]),
        (dict(span_loss=-1), ["span_loss=-1"]),
        (dict(limit=0), ["limit=0"]),
        (dict(block=0), ["block=0"]),
        (dict(ramp=0), ["ramp=0"]),
    ],
)
def test_errors_name_the_option(options, words):
    with pytest.raises(ValueError) as error:
        AdaptiveSpanAttention(2, 8, **options)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_widths_and_models_without_spans_are_errors(tmp_path):
    with pytest.raises(ValueError, match="7 is not divisible by heads=2"):
        RelativePositionScores(2, 4)(keras.Input((None, 7)))
    x = keras.Input((3,))
    for function in (learned_spans, span_penalty, freeze_spans):
        with pytest.raises(ValueError, match="AdaptiveSpanAttention"):
            function(keras.Model(x, x))


def test_spans_are_plotted_by_layer(tmp_path):
    visualize.plot_spans(learned_spans(language_model()), tmp_path / "spans.svg")
    svg = (tmp_path / "spans.svg").read_text(encoding="utf-8")
    assert "layer1" in svg and "layer2" in svg and "span (steps)" in svg
    with pytest.raises(ValueError, match="spans is empty"):
        visualize.plot_spans({}, tmp_path / "spans.svg")

"""All-attention: the authors' equations, its equivalence to a network of hidden units, decoding, files."""

import keras
import numpy as np
import pytest

from kapps.layers import AllAttention

HEADS, D, SPAN, RAMP, N, STEPS = 2, 4, 6, 3, 5, 9


def array(x):
    return keras.ops.convert_to_numpy(x)


def random_inputs(batch=2, steps=STEPS):
    random = np.random.default_rng(1)
    tensors = [random.normal(size=(batch, steps, HEADS * D)).astype("float32") for _ in range(3)]
    p = random.normal(size=(D, SPAN)).astype("float32")
    return [*tensors, tensors[0].reshape(batch, steps, HEADS, D) @ p], p


def build(spans=(2.3, 0), **options):
    layer = AllAttention(HEADS, SPAN, persistent=N, ramp=RAMP, **options)
    layer.build([(None, None, HEADS * D)] * 3 + [(None, None, HEADS, SPAN)])
    layer.v.assign(np.array(spans) / SPAN)
    random = np.random.default_rng(3)
    for variable in (layer.persistent_keys, layer.persistent_values):
        variable.assign(random.normal(size=variable.shape))
    return layer


def brute_force(layer, tensors, p, spans):
    """The authors' computation: one softmax over both, the mask on the steps back, and a division by the sum."""
    query, key, value = (x.reshape(*x.shape[:2], HEADS, D).astype("float64") for x in tensors[:3])
    keys = np.sqrt(D) * array(layer.persistent_keys)
    values = np.sqrt(N) * array(layer.persistent_values)
    y = np.zeros(query.shape)
    for b, t, h in np.ndindex(*query.shape[:3]):
        scores, past, mask = np.zeros(SPAN + N), np.zeros((SPAN, D)), np.ones(SPAN + N)
        for x in range(1, SPAN + 1):
            k = key[b, t - x, h] if x <= t else np.zeros(D)
            past[SPAN - x] = value[b, t - x, h] if x <= t else 0
            scores[SPAN - x] = query[b, t, h] @ (k + p[:, SPAN - x])
            mask[SPAN - x] = np.clip((RAMP + spans[h] - (x - 1)) / RAMP, 0, 1)
        scores[SPAN:] = keys[h] @ query[b, t, h]
        weights = np.exp((scores - scores.max()) / np.sqrt(D))
        weights = weights / weights.sum() * mask
        y[b, t, h] = weights / (weights.sum() + 1e-8) @ np.concatenate([past, values[h]])
    return y.reshape(*y.shape[:2], HEADS * D)


@pytest.mark.parametrize("block", [None, 2])
def test_outputs_are_those_of_the_authors_equations(block):
    tensors, p = random_inputs()
    layer = build(block=block)
    expected = brute_force(layer, tensors, p, (2.3, 0))
    np.testing.assert_allclose(array(layer(tensors)), expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0.5  # the first step attends to persistent vectors


def test_a_head_that_attends_to_no_step_is_a_network_of_n_hidden_units():
    """softmax(q W_1) W_2, when the scores of the steps back are very low."""
    tensors, _ = random_inputs()
    layer = build()
    tensors[3] = tensors[3] * 0 - 1e4
    query = tensors[0].reshape(-1, HEADS, D)
    expected = np.zeros(query.shape)
    for h in range(HEADS):
        w1, w2 = array(layer.persistent_keys)[h].T, np.sqrt(N) * array(layer.persistent_values)[h]
        hidden = np.exp(query[:, h] @ w1)
        expected[:, h] = hidden / hidden.sum(-1, keepdims=True) @ w2
    expected = expected.reshape(2, STEPS, HEADS * D)
    np.testing.assert_allclose(array(layer(tensors)), expected, rtol=1e-5, atol=1e-5)
    feed_forward = 2 * N * HEADS * D  # d_model to N hidden units and back, without biases
    assert layer.persistent_keys.shape == (HEADS, N, D)
    assert sum(int(np.prod(v.shape)) for v in layer.weights) == feed_forward + HEADS


def test_single_steps_equal_the_whole_sequence_with_the_state_of_the_steps_back():
    tensors, _ = random_inputs()
    for limit in (None, 6, 5):
        layer = build((1.5, 0.5), limit=limit)  # at most ceil(1.5) + 3 = 5 steps back
        specs = layer.decoding_state(2, 100)
        reach = 5 if limit == 5 else 6
        assert {name: spec.shape for name, spec in specs.items()} == dict.fromkeys(
            ("key_window", "value_window"), (2, reach, HEADS * D)
        )
        state = {name: np.zeros(spec.shape, "float32") for name, spec in specs.items()}
        steps = []
        for t in range(STEPS):
            y, state = layer.decoding_step([x[:, t : t + 1] for x in tensors], None, state)
            steps.append(array(y))
        np.testing.assert_allclose(
            np.concatenate(steps, 1), array(layer(tensors)), rtol=1e-5, atol=1e-5
        )


def test_initial_values_have_the_authors_deviations():
    layer = AllAttention(4, 8, persistent=400)
    layer.build([(None, None, 64)] * 3 + [(None, None, 4, 8)])
    assert np.std(array(layer.persistent_keys)) == pytest.approx(16**-0.5, rel=0.05)
    assert np.std(array(layer.persistent_values)) == pytest.approx(400**-0.5, rel=0.05)


def test_cost_and_configuration():
    layer = build()
    shapes = [(2, STEPS, 8)] * 3 + [(2, STEPS, HEADS, SPAN)]
    macs = 2 * (2 * STEPS) * HEADS * (SPAN + N) * D
    assert layer.profile_cost(shapes, [(2, STEPS, 8)])["macs"] == macs
    assert AllAttention.from_config(layer.get_config()).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="persistent=0"):
        AllAttention(2, 8, persistent=0)

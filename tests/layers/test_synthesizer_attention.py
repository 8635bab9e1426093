"""Synthesizer attention against the equations in NumPy: kinds, mixtures, masks, lengths, steps, files, precision."""

import keras
import numpy as np
import pytest
from attention_inputs import (
    MASK,
    H,
    K,
    M,
    P,
    X,
    array,
    check_file,
    check_half_precision,
    randomise,
    softmax,
)
from single_steps import assert_single_steps_equal_the_whole

from kapps.layers import SynthesizerAttention
from kapps.layers.synthesizer_attention import KINDS

LENGTH, RANK = 12, 4
MIXTURE = ("random", "dense", "dot_product")


def build(*kinds, **options):
    layer = SynthesizerAttention(H, P, LENGTH, kinds, RANK, name="synthesizer", **options)
    layer.build(X.shape)
    return layer, randomise(layer)


def network(x, w, name, i):
    """W_2 ReLU(W_1 x + b_1) + b_2 of head i, for each step."""
    hidden = np.maximum(x @ w[f"{name}_hidden_kernel"][:, i] + w[f"{name}_hidden_bias"][i], 0)
    return hidden @ w[f"{name}_kernel"][i] + w[f"{name}_bias"][i]


def scores(kind, x, w, i):
    """B of head i of one sequence."""
    n = len(x)
    if kind == "dot_product":
        q, k = (x @ w[f"{name}_kernel"][:, i] + w[f"{name}_bias"][i] for name in ("query", "key"))
        return q @ k.T / np.sqrt(P)
    if kind == "dense":
        return network(x, w, kind, i)[:, :n]
    if kind == "factorised_dense":
        a, c = (network(x, w, f"{kind}_{part}", i) for part in "ab")
        assert (a.shape[1], c.shape[1]) == (3, 4)
        return np.array([[a[t, j // 4] * c[t, j % 4] for j in range(n)] for t in range(n)])
    if kind == "factorised_random":
        return (w[f"{kind}1"][i] @ w[f"{kind}2"][i].T)[:n, :n]
    return w[kind][i, :n, :n]


def synthesizer(x, w, kinds, causal=False):
    """Y of one sequence, and the weights."""
    alpha = softmax(w["mixture"]) if len(kinds) > 1 else [1.0]
    y, weights = w["output_bias"], []
    for i in range(H):
        b = sum(a * scores(kind, x, w, i) for a, kind in zip(alpha, kinds, strict=True))
        if causal:
            b = np.where(np.tri(len(x), dtype=bool), b, -np.inf)
        weights.append(softmax(b))
        values = x @ w["value_kernel"][:, i] + w["value_bias"][i]
        y = y + weights[-1] @ values @ w["output_kernel"][i]
    return y, np.stack(weights)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), MIXTURE])
def test_outputs_are_the_equations(kinds, causal):
    layer, w = build(*kinds)
    y, a = layer(X, use_causal_mask=causal, return_attention_scores=True)
    for i, x in enumerate(X.astype("float64")):
        expected, weights = synthesizer(x, w, kinds, causal)
        np.testing.assert_allclose(array(a)[i], weights, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(array(y)[i], expected, atol=1e-4)
    assert np.ptp(array(y)) > 1 and a.shape == (2, H, M, M)


@pytest.mark.parametrize("kinds", [("dense",), ("factorised_random",), MIXTURE])
def test_masked_steps_equal_a_shorter_sequence(kinds):
    layer, _ = build(*kinds)
    y = array(layer(X, mask=MASK))
    np.testing.assert_allclose(y[0, :4], array(layer(X[:1, :4]))[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(y[1], array(layer(X))[1], rtol=1e-5, atol=1e-5)
    assert np.abs(y[0] - array(layer(X))[0]).max() > 0.01


def test_random_scores_depend_on_positions_only_and_dense_scores_on_the_own_step_only():
    other = np.random.default_rng(9).normal(size=X.shape).astype("float32")
    changed = X.copy()
    changed[:, 2] = other[:, 2]
    for kind, rows in [("random", 0), ("fixed_random", 0), ("dense", 1), ("factorised_dense", 1)]:
        layer, _ = build(kind)
        before, after = (array(layer(x, return_attention_scores=True)[1]) for x in (X, changed))
        different = np.abs(before - after).max(axis=(0, 1, 3)) > 1e-6
        np.testing.assert_array_equal(different, np.arange(M) == 2 if rows else np.zeros(M, bool))


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS if kind != "fixed_random"), MIXTURE])
def test_single_steps_equal_the_whole_sequence(kinds):
    layer = SynthesizerAttention(H, P, LENGTH, kinds, RANK, name="layer")
    shapes = assert_single_steps_equal_the_whole(lambda x: layer(x, use_causal_mask=True), X, 9)
    cache = (9, H, P)
    keys = {"layer_keys": cache} if "dot_product" in kinds else {}
    assert shapes == {"layer_values": cache, **keys, "position": (1,)}


def test_weights():
    linear = 2 * K * H * P + H * P + K
    network_size = K * H * P + H * P
    expected = {
        "random": H * LENGTH**2, "fixed_random": H * LENGTH**2, "factorised_random": 2 * H * LENGTH * RANK,
        "dense": network_size + H * (P + 1) * LENGTH, "dot_product": 2 * network_size,
        "factorised_dense": 2 * network_size + H * (P + 1) * (3 + 4),
    }  # fmt: skip
    for kind, size in expected.items():
        layer, _ = build(kind)
        assert layer.count_params() == linear + size
        fixed = sum(int(np.prod(v.shape)) for v in layer.non_trainable_weights)
        assert fixed == (size if kind == "fixed_random" else 0)
    assert build(*MIXTURE)[0].count_params() == 3 + linear + sum(expected[k] for k in MIXTURE)
    assert build("random", use_bias=False)[0].count_params() == linear - H * P - K + H * LENGTH**2


def test_a_mixture_begins_with_equal_parts():
    layer = SynthesizerAttention(H, P, LENGTH, ("random", "fixed_random"))
    layer.build(X.shape)
    a = array(layer(X, return_attention_scores=True)[1])[0]
    mean = (array(layer.maps["random"]) + array(layer.maps["fixed_random"]))[:, :M, :M] / 2
    np.testing.assert_allclose(a, softmax(mean), atol=1e-6)


def test_gradients_reach_all_trainable_weights():
    model = keras.Sequential([keras.Input((None, K)), SynthesizerAttention(H, P, LENGTH, MIXTURE)])
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    model.train_on_batch(X, np.roll(X, 1, axis=1))
    for variable, old in zip(model.weights, before, strict=True):
        if variable.name != "key_bias":  # it adds the same to all scores of a query
            assert np.abs(array(variable) - old).max() > 1e-7, variable.path


def test_files_and_half_precision(tmp_path):
    check_file(SynthesizerAttention(H, P, LENGTH, MIXTURE), tmp_path / "model.keras")
    layer = SynthesizerAttention(H, P, LENGTH, MIXTURE, dtype="mixed_float16")
    check_half_precision(lambda x, mask: layer(x, mask=mask, return_attention_scores=True))


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(kinds=("dens",)), ["kinds", "dens", "dense"]),
        (dict(kinds=()), ["kinds", "dense"]),
        (dict(kinds=("dense", "dense")), ["kinds", "different"]),
        (dict(rank=0), ["rank", "0"]),
        (dict(length=0), ["length", "0"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        SynthesizerAttention(**{**dict(heads=H, key_dim=P, length=LENGTH), **options})
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_longer_sequences_raise():
    layer, _ = build("random")
    for call in (
        lambda: layer(np.zeros((1, LENGTH + 1, K))),
        lambda: layer(keras.Input((LENGTH + 1, K))),
    ):
        with pytest.raises(ValueError, match=str(LENGTH + 1)):
            call()
    assert layer(np.zeros((1, LENGTH, K))).shape == (1, LENGTH, K)

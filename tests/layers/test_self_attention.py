"""Self-attention against the equations of the lectures in NumPy: merged matrices, masks, precision, files."""

import numpy as np
import pytest
from attention_inputs import (
    MASK,
    H,
    K,
    L,
    M,
    N,
    P,
    X,
    array,
    check_file,
    check_half_precision,
    randomise,
    softmax,
)

from kapps.layers import SelfAttention


def self_attention(x, w, output):
    """Y^T of one sequence by the equations, for each head, and the weights."""
    weights, outputs = [], []
    for i in range(H):
        a = softmax((x @ w["W_q"][i]) @ (x @ w["W_k"][i]).T / np.sqrt(P))
        weights.append(a)
        outputs.append(a @ (x @ w["W_v"][i]))
    y = (
        sum(y @ w["W_o"][i] for i, y in enumerate(outputs))
        if output
        else np.concatenate(outputs, -1)
    )
    return y, np.stack(weights)


@pytest.mark.parametrize("output", [N, None])
def test_self_attention_is_the_lectures(output):
    layer = SelfAttention(H, P, L, output)
    layer.build(X.shape)
    w = randomise(layer)
    y, a = layer(X, return_attention_scores=True)
    for i, x in enumerate(X.astype("float64")):
        expected, weights = self_attention(x, w, output)
        np.testing.assert_allclose(array(y)[i], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(array(a)[i], weights, atol=1e-6)
    assert y.shape == (2, M, output or H * L) and len(np.unique(array(a).round(3))) > 40


@pytest.mark.parametrize("output", [N, None])
def test_merged_matrices_compute_the_same(output):
    layer = SelfAttention(H, P, L, output)
    layer.build(X.shape)
    randomise(layer)
    merged = layer.merged()
    assert {v.name: tuple(v.shape) for v in merged.weights} == (
        {"W_qk": (H, K, K), "W_vo": (H, K, N)} if output else {"W_qk": (H, K, K), "W_v": (H, K, L)}
    )
    for causal in (False, True):
        np.testing.assert_allclose(
            array(merged(X, mask=MASK, use_causal_mask=causal)),
            array(layer(X, mask=MASK, use_causal_mask=causal)),
            atol=1e-4,
        )
    np.testing.assert_array_equal(array(merged.merged()(X)), array(merged(X)))


def test_self_attention_masks_equal_trimming_and_causal_masks_hide_later_steps():
    layer = SelfAttention(H, P, L, N)
    layer.build(X.shape)
    randomise(layer)
    np.testing.assert_allclose(
        array(layer(X, mask=MASK))[:1, :4], array(layer(X[:1, :4])), atol=1e-6
    )
    changed = X.copy()
    changed[:, 4:] += 1
    one, other = (array(layer(x, use_causal_mask=True)) for x in (X, changed))
    np.testing.assert_allclose(one[:, :4], other[:, :4], atol=1e-6)
    assert np.abs(one[:, 4:] - other[:, 4:]).max() > 0.1


def test_half_precision_has_no_nan():
    layer = SelfAttention(H, P, dtype="mixed_float16")
    check_half_precision(lambda x, mask: layer(x, mask=mask, return_attention_scores=True))


def test_files(tmp_path):
    check_file(SelfAttention(H, P, L, N, merge_qk=True), tmp_path / "model.keras")


def test_an_error_names_the_missing_option():
    with pytest.raises(ValueError, match=r"merge_vo=True .*output_dim"):
        SelfAttention(2, 4, merge_vo=True)


def test_biases_are_added_to_queries_keys_and_values():
    layer = SelfAttention(H, P, L, use_bias=True)
    layer.build(X.shape)
    w = randomise(layer)
    # An input of 1 makes a bias a row of the matrix.
    ones = np.concatenate([X, np.ones_like(X[..., :1])], axis=-1)
    wider = SelfAttention(H, P, L)
    wider.build(ones.shape)
    rows = [np.concatenate([w[f"W_{k}"], w[f"b_{k}"][:, None]], axis=1) for k in "qkv"]
    wider.set_weights(rows)
    np.testing.assert_allclose(
        array(layer(X, use_causal_mask=True)), array(wider(ones, use_causal_mask=True)), atol=1e-5
    )
    with pytest.raises(ValueError, match="use_bias"):
        SelfAttention(H, P, output_dim=N, merge_vo=True, use_bias=True)

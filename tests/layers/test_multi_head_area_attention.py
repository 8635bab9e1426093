"""Area attention: Tensor2Tensor's numbers, enumerated areas in NumPy, masks, steps, modes, files, precision."""

import itertools

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

from kapps.layers import MultiHeadAreaAttention, MultiHeadAttention
from kapps.layers.multi_head_area_attention import area_features, count_areas

D = 4  # key_dim, even


def boxes(steps, max_width, max_height=1, grid_height=1):
    """Yields the indices of the items of each area, in Tensor2Tensor's order."""
    width = steps // grid_height
    for h, w in itertools.product(range(1, max_height + 1), range(1, max_width + 1)):
        for i, j in itertools.product(range(grid_height - h + 1), range(width - w + 1)):
            yield (h, w), [(i + a) * width + j + b for a in range(h) for b in range(w)]


def test_features_of_a_sequence_are_tensor2tensors():
    """tensor2tensor/layers/area_attention_test.py: five items, areas of up to 3."""
    x = np.arange(1, 11, dtype="float32").reshape(1, 5, 2)
    mean, deviation, total = (array(part)[0] for part in area_features(x, 3))
    np.testing.assert_array_equal(total[:, 0], [1, 3, 5, 7, 9, 4, 8, 12, 16, 9, 15, 21])
    np.testing.assert_array_equal(mean[:, 0], [1, 3, 5, 7, 9, 2, 4, 6, 8, 3, 5, 7])
    expected = [0] * 5 + [1] * 4 + [1.63299] * 3
    np.testing.assert_allclose(deviation[:, 0], expected, atol=1.1e-3)
    assert len(total) == 12 == count_areas(5, 3) == 5 * 3 - 3 * 2 // 2


def test_features_of_a_grid_are_tensor2tensors():
    """The same file: a grid of 2 x 3, areas of up to 2 x 3."""
    x = np.arange(1, 13, dtype="float32").reshape(1, 6, 2)
    mean, _, total = (array(part)[0] for part in area_features(x, 3, 2, 2))
    first = [1, 3, 5, 7, 9, 11, 2, 4, 8, 10, 3, 9, 4, 6, 8, 5, 7, 6]
    np.testing.assert_array_equal(mean[:, 0], first)
    np.testing.assert_array_equal(total[-1], [36, 42])
    assert len(mean) == 18 == count_areas(6, 3, 2, 2)


@pytest.mark.parametrize("sizes", [(4,), (9,), (2, 3, 3), (3, 1, 2), (9, 2, 2)])
def test_features_are_those_of_enumerated_areas(sizes):
    x = np.random.default_rng(1).normal(size=(2, 6, 3, 2)).astype("float32")
    features = [array(part) for part in area_features(x, *sizes)]
    areas = [items for _, items in boxes(6, *sizes)]
    assert features[0].shape == (2, len(areas), 3, 2) and len(areas) == count_areas(6, *sizes)
    for i, items in enumerate(areas):
        part = x[:, items].astype("float64")
        expected = part.mean(1), np.sqrt(part.var(1) + 1e-6), part.sum(1)
        for result, value in zip(features, expected, strict=True):
            np.testing.assert_allclose(result[:, i], value, atol=2e-4)


def attention(x, w, sizes, allowed, mode="mean", value_mode="sum", top_k=None):
    """The output of one sequence, one query and one area after the other, and the weights."""
    y, weights = w["attention_output/bias"], []
    for head in range(H):
        q, k, v = (
            x @ w[f"{name}/kernel"][:, head] + w[f"{name}/bias"][head]
            for name in ("query", "key", "value")
        )
        keys, values, areas = [], [], list(boxes(len(x), *sizes))
        for (height, width), items in areas:
            mean, deviation = k[items].mean(0), np.sqrt(k[items].var(0) + 1e-6)
            if mode != "mean":
                size = np.concatenate([w["area_heights"][height - 1], w["area_widths"][width - 1]])
                read = mean + deviation + size
                if mode == "concat":
                    read = np.concatenate([mean, deviation, size])
                hidden = np.maximum(read @ w["area_kernel1"] + w["area_bias1"], 0)
                mean = hidden @ w["area_kernel2"] + w["area_bias2"]
            keys.append(mean)
            values.append(v[items].sum(0) if value_mode == "sum" else v[items].mean(0))
        hides = np.array([[not row[items].all() for _, items in areas] for row in allowed])
        a = softmax(np.where(hides, -np.inf, q @ np.array(keys).T / np.sqrt(D)))
        if top_k:
            a = np.where(a >= np.sort(a, -1)[:, -top_k:][:, :1], a, 0)
            a /= a.sum(-1, keepdims=True)
        weights.append(a)
        y = y + a @ np.array(values) @ w["attention_output/kernel"][head]
    return y, np.array(weights)


def build(**options):
    layer = MultiHeadAreaAttention(H, D, name="area", **options)
    layer.build(X.shape, X.shape)
    randomise(layer)
    return layer, {v.path.removeprefix("area/"): array(v).astype("float64") for v in layer.weights}


@pytest.mark.parametrize(
    "options",
    [
        {}, dict(max_width=9), dict(key_mode="sum"), dict(key_mode="concat", value_mode="mean"), dict(top_k=3),
        dict(max_width=2, max_height=2, grid_height=2, key_mode="sum"), dict(max_width=3, max_height=3, grid_height=3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("causal", [False, True])
def test_outputs_are_those_of_enumerated_areas(options, causal):
    layer, w = build(**options)
    y, a = layer(X, X, use_causal_mask=causal, return_attention_scores=True)
    names = ("max_width", "max_height", "grid_height")
    sizes = [options.get(name, default) for name, default in zip(names, (3, 1, 1), strict=True)]
    modes = {name: options[name] for name in ("value_mode", "top_k") if name in options}
    modes["mode"] = options.get("key_mode", "mean")
    allowed = np.tri(M, dtype=bool) if causal else np.ones((M, M), bool)
    for i, x in enumerate(X.astype("float64")):
        expected, weights = attention(x, w, sizes, allowed, **modes)
        np.testing.assert_allclose(
            array(a)[i], weights, atol=1e-3 if options.get("key_mode") else 1e-5
        )
        np.testing.assert_allclose(
            array(y)[i], expected, atol=2e-3 if options.get("key_mode") else 1e-4
        )
    assert np.ptp(array(y)) > 1


def test_areas_of_one_step_are_ordinary_attention_bit_for_bit():
    layer, _ = build(max_width=1)
    ordinary = MultiHeadAttention(H, D)
    ordinary.build(X.shape, X.shape)
    ordinary.set_weights(layer.get_weights())
    for causal in (False, True):
        expected = ordinary(X, X, use_causal_mask=causal)
        np.testing.assert_array_equal(array(layer(X, X, use_causal_mask=causal)), array(expected))


def test_an_area_with_a_masked_step_is_masked():
    layer, _ = build()
    y = array(layer(X, X, value_mask=MASK, key_mask=MASK))
    np.testing.assert_allclose(y[0], array(layer(X[:1], X[:1, :4]))[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(y[1], array(layer(X, X))[1], rtol=1e-5, atol=1e-5)
    _, a = layer(X, X, value_mask=MASK, return_attention_scores=True)
    hidden = [max(items) >= 4 for _, items in boxes(M, 3)]
    assert not array(a)[0][..., hidden].any() and array(a)[0][..., ~np.array(hidden)].all()


@pytest.mark.parametrize("options", [{}, dict(key_mode="sum", max_width=4)])
def test_single_steps_equal_the_whole_sequence(options):
    layer = MultiHeadAreaAttention(H, D, name="layer", **options)
    shapes = assert_single_steps_equal_the_whole(lambda x: layer(x, x, use_causal_mask=True), X, 9)
    assert shapes == {"layer_keys": (9, H, D), "layer_values": (9, H, D), "position": (1,)}


def test_weights_and_noise():
    plain = build()[0].count_params()
    assert plain == build(key_mode="sample")[0].count_params()
    learned = D * D + D + (3 + 1) * D // 2
    assert build(key_mode="sum")[0].count_params() == plain + learned + D * D + D
    assert build(key_mode="concat")[0].count_params() == plain + learned + 3 * D * D + D
    layer, _ = build(key_mode="sample", seed=3)
    first, second = (array(layer(X, X, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(array(layer(X, X)), array(layer(X, X)))


def test_short_sequences_have_fewer_areas():
    layer, _ = build(max_width=9)
    y, a = layer(X[:, :2], X[:, :2], return_attention_scores=True)
    assert a.shape[-1] == 3 == count_areas(2, 9) and y.shape == (2, 2, K)


def test_files_and_half_precision(tmp_path):
    check_file(MultiHeadAreaAttention(H, D, key_mode="concat"), tmp_path / "model.keras")
    layer = MultiHeadAreaAttention(H, D, dtype="mixed_float16")
    check_half_precision(lambda x, mask: layer(x, x, value_mask=mask, return_attention_scores=True))
    x = keras.Input((5, K))
    y, a = layer(x, x, return_attention_scores=True)
    assert y.shape == (None, 5, K) and a.shape == (None, H, 5, 12)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(max_width=0), ["max_width", "0"]),
        (dict(max_height=2), ["max_height=2", "grid_height"]),
        (dict(key_mode="max"), ["key_mode", "max", "concat"]),
        (dict(value_mode="max"), ["value_mode", "max", "mean"]),
        (dict(chunk=4), ["chunk"]),
        (dict(top_k=-1), ["top_k", "-1"]),
        (dict(key_dim=P, key_mode="sum"), ["key_dim", str(P)]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        MultiHeadAreaAttention(**{**dict(num_heads=H, key_dim=D), **options})
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)

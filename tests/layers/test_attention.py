"""Attention layers against their equations in NumPy, their masks, precision and files; positions."""

import keras
import numpy as np
import pytest

from kapps.layers import (
    Alignment,
    LearnedPositionalEncoding,
    Maxout,
    MultiHeadAttention,
    SelfAttention,
)
from kapps.layers import SinusoidalPositionalEncoding as Sinusoids

M, K, P, L, H, N = 6, 8, 3, 5, 2, 7
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(2, M, K)).astype("float32")
QUERIES = DRAW.normal(size=(2, 4, P)).astype("float32")
REAL = np.arange(M) < np.array([[4], [M]])


def array(x):
    return keras.ops.convert_to_numpy(x)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def drawn(layer):
    """Gives a built layer weights of some size, so that its scores differ; returns them by name, in float64."""
    draw = np.random.default_rng(5)
    for variable in layer.weights:
        variable.assign(draw.normal(0, 0.7, variable.shape))
    return {variable.name: array(variable).astype("float64") for variable in layer.weights}


def self_attention(x, w, output):
    """Y^T of one sequence by the equations of the lectures, head after head, and the pmfs."""
    pmfs, found = [], []
    for i in range(H):
        a = softmax((x @ w["W_q"][i]) @ (x @ w["W_k"][i]).T / np.sqrt(P))
        pmfs.append(a)
        found.append(a @ (x @ w["W_v"][i]))
    y = sum(y @ w["W_o"][i] for i, y in enumerate(found)) if output else np.concatenate(found, -1)
    return y, np.stack(pmfs)


@pytest.mark.parametrize("output", [N, None])
def test_self_attention_is_the_lectures(output):
    layer = SelfAttention(H, P, L, output)
    layer.build(X.shape)
    w = drawn(layer)
    y, a = layer(X, return_attention_scores=True)
    for i, x in enumerate(X.astype("float64")):
        expected, pmfs = self_attention(x, w, output)
        np.testing.assert_allclose(array(y)[i], expected, atol=1e-5)
        np.testing.assert_allclose(array(a)[i], pmfs, atol=1e-6)
    assert y.shape == (2, M, output or H * L) and len(np.unique(array(a).round(3))) > 40


@pytest.mark.parametrize("output", [N, None])
def test_merged_matrices_compute_the_same(output):
    layer = SelfAttention(H, P, L, output)
    layer.build(X.shape)
    drawn(layer)
    merged = layer.merged()
    assert {v.name: tuple(v.shape) for v in merged.weights} == (
        {"W_qk": (H, K, K), "W_vo": (H, K, N)} if output else {"W_qk": (H, K, K), "W_v": (H, K, L)}
    )
    for causal in (False, True):
        np.testing.assert_allclose(
            array(merged(X, mask=REAL, use_causal_mask=causal)),
            array(layer(X, mask=REAL, use_causal_mask=causal)),
            atol=1e-4,
        )
    np.testing.assert_array_equal(array(merged.merged()(X)), array(merged(X)))


def test_self_attention_masks_equal_trimming_and_no_step_sees_a_later_one():
    layer = SelfAttention(H, P, L, N)
    layer.build(X.shape)
    drawn(layer)
    np.testing.assert_allclose(
        array(layer(X, mask=REAL))[:1, :4], array(layer(X[:1, :4])), atol=1e-6
    )
    changed = X.copy()
    changed[:, 4:] += 1
    one, other = (array(layer(x, use_causal_mask=True)) for x in (X, changed))
    np.testing.assert_allclose(one[:, :4], other[:, :4], atol=1e-6)
    assert np.abs(one[:, 4:] - other[:, 4:]).max() > 0.1


def score(name, z, x, w):
    """The score of one query and one input."""
    if name == "additive":
        return w["v"][:, 0] @ np.tanh(w["query_kernel"].T @ z + w["memory_kernel"].T @ x)
    if name == "concat":
        w_a = np.concatenate([w["query_kernel"], w["memory_kernel"]]).T
        return w["v"][:, 0] @ np.tanh(w_a @ np.concatenate([z, x]))
    if name == "dot":
        return z @ x
    found = z @ w["memory_kernel"].T @ x
    return found / np.sqrt(len(z)) if name == "scaled" else found


def aligned(name, window, width, z, d, inputs, w):
    """The weights of one query by the equations, input after input."""
    length = len(inputs)
    center = {"local_m": d}.get(window)
    if window == "local_p":
        center = np.tanh(w["position_kernel"].T @ z) @ w["position_v"][:, 0]
        center = length / (1 + np.exp(-center))
    seen = [s for s in range(length) if center is None or abs(s - center) <= width]
    found = np.zeros(length)
    if seen:
        found[seen] = softmax(np.array([score(name, z, inputs[s], w) for s in seen]))
    if window == "local_p":
        found *= np.exp(-((np.arange(length) - center) ** 2) / (2 * (width / 2) ** 2))
    if window == "hard":
        found = np.eye(length)[found.argmax()]
    return found


@pytest.mark.parametrize("window", ["global", "local_m", "local_p", "hard"])
@pytest.mark.parametrize("name", ["additive", "concat", "dot", "general", "scaled"])
def test_alignment_is_the_papers(name, window):
    inputs = X[..., :P] if name == "dot" else X
    layer = Alignment(name, window, width=1, units=None if name == "additive" else 4)
    layer.build(QUERIES.shape, inputs.shape)
    w = drawn(layer)
    y, a = layer(QUERIES, inputs, memory_mask=REAL, start=1, return_attention_scores=True)
    for i, n in enumerate(REAL.sum(axis=1)):
        for d in range(4):
            z, memory = QUERIES[i, d].astype("float64"), inputs[i, :n].astype("float64")
            expected = aligned(name, window, 1, z, d + 1, memory, w)
            np.testing.assert_allclose(array(a)[i, d, :n], expected, atol=1e-5)
            np.testing.assert_allclose(array(y)[i, d], expected @ memory, atol=1e-5)
    assert not array(a)[0, :, 4:].any() and array(a).dtype == "float32"


def product(expected, y):
    """A loss whose gradient does not depend on y."""
    return keras.ops.mean(expected * y)


def trained(make):
    """Returns the weights of a layer between two inputs, after and before one step down the gradient of `product`."""
    given = [keras.Input((None, P)), keras.Input((None, K))]
    model = keras.Model(given, make()(*given))
    drawn(model.layers[-1])
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(20.0), product, jit_compile=False)
    model.train_on_batch([QUERIES, X], DRAW_ONCE)
    return model.get_weights(), before


DRAW_ONCE = np.random.default_rng(6).normal(size=(2, 4, K)).astype("float32")


def test_hard_attention_is_drawn_from_the_pmf():
    layer, soft = Alignment("dot", "hard", seed=1), Alignment("dot")
    inputs = np.repeat(X[:1, :, :P], 4000, axis=0)
    queries = np.repeat(QUERIES[:1, :1], 4000, axis=0)
    _, a = layer(queries, inputs, return_attention_scores=True, training=True)
    _, pmf = soft(queries, inputs, return_attention_scores=True)
    assert set(np.unique(array(a))) == {0.0, 1.0} and (array(a).sum(axis=-1) == 1).all()
    np.testing.assert_allclose(array(a).mean(axis=0), array(pmf)[0], atol=0.03)


def test_hard_attentions_gradient_is_that_of_the_mean():
    hard, before = trained(lambda: Alignment("general", "hard"))
    soft, _ = trained(lambda: Alignment("general"))
    assert np.abs(hard[0] - before[0]).max() > 0.1
    np.testing.assert_allclose(hard[0], soft[0], atol=1e-5)


def test_nothing_to_look_at_gives_nothing():
    for layer in (
        Alignment("scaled"),
        Alignment("general", "hard"),
        Alignment("additive", "local_p"),
    ):
        y, a = layer(QUERIES, X, memory_mask=np.zeros((2, M), bool), return_attention_scores=True)
        assert not array(y).any() and not array(a).any()


def test_keras_own_layer_is_the_same_and_chunks_are():
    ours, plain = MultiHeadAttention(H, P), keras.layers.MultiHeadAttention(H, P)
    chunks = MultiHeadAttention(H, P, chunk=4)
    layers = (ours, plain, chunks)
    for layer in layers:
        layer.build(X.shape, X.shape)
        drawn(layer)
    for options in ({}, {"use_causal_mask": True}, {"value_mask": REAL}):
        found = [array(layer(X, X, **options)) for layer in layers]
        assert np.abs(found[1]).max() > 0.5
        np.testing.assert_allclose(found[0], found[1], atol=1e-5)
        np.testing.assert_allclose(found[2], found[0], atol=1e-5)
        a = [array(layer(X, X, return_attention_scores=True, **options)[1]) for layer in layers]
        np.testing.assert_allclose(a[0], a[1], atol=1e-5)
        np.testing.assert_allclose(a[2], a[0], atol=1e-6)


def test_chunks_have_the_same_gradients():
    found = []
    for chunk in (None, 4):
        x = keras.Input((None, K))
        layer = MultiHeadAttention(H, P, chunk=chunk)
        model = keras.Model(x, layer(x, x, use_causal_mask=True))
        drawn(layer)
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
        model.train_on_batch(X, np.ones_like(X))
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(found[0][0] - before[0]).max() > 0.01


def test_masks_stay_with_what_is_attended_to():
    x = keras.Input((None,), dtype="int32")
    y = memory = keras.layers.Embedding(9, K, mask_zero=True)(x)
    for _ in range(2):  # Keras's own layer takes the masks away from the second one
        y = keras.layers.Add()([y, MultiHeadAttention(H, P)(y, y)])
        y = keras.layers.Add()([y, MultiHeadAttention(H, P)(y, memory)])
    model = keras.Model(x, keras.layers.GlobalAveragePooling1D()(y))
    for layer in model.layers:
        drawn(layer)
    tokens = np.array([[3, 5, 7, 0, 0]])
    expected = array(model(tokens[:, :3]))
    np.testing.assert_allclose(array(model(tokens)), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(tokens, verbose=0), expected, atol=1e-5)


def test_half_precision_overflows_nowhere():
    layers = (
        MultiHeadAttention(H, P, dtype="mixed_float16"),
        MultiHeadAttention(H, P, chunk=4, dtype="mixed_float16"),
        SelfAttention(H, P, dtype="mixed_float16"),
        Alignment("scaled", dtype="mixed_float16"),
        Alignment("additive", "local_p", dtype="mixed_float16"),
    )
    x = 100 * X.astype("float16")  # products of rows are beyond float16
    real = REAL.copy()
    real[0] = False
    for layer in layers:
        if isinstance(layer, SelfAttention):
            y, a = layer(x, mask=real, return_attention_scores=True)
        elif isinstance(layer, Alignment):
            y, a = layer(x, x, memory_mask=real, return_attention_scores=True)
        else:
            y, a = layer(x, x, value_mask=real, return_attention_scores=True)
        dtypes = [keras.backend.standardize_dtype(each.dtype) for each in (y, a)]
        assert dtypes == ["float16", "float32"]
        assert np.isfinite(array(y)).all() and np.isfinite(array(a)).all()
        assert not array(a)[0].any() and array(a)[1].sum() > 1


def test_sinusoids_are_the_papers_at_any_length_and_from_any_start():
    d_model, layer = 6, Sinusoids(scale=2.0)
    x = DRAW.normal(size=(2, 400, d_model)).astype("float32")
    positions, i = np.arange(400)[:, None], np.arange(d_model) // 2
    angles = positions / 10000 ** (2 * i / d_model)
    expected = 2 * x + np.where(np.arange(d_model) % 2, np.cos(angles), np.sin(angles))
    np.testing.assert_allclose(array(layer(x)), expected, atol=1e-4)
    one = layer(x[:, 7:8], start=keras.ops.convert_to_tensor(7))
    np.testing.assert_allclose(array(one), expected[:, 7:8], atol=1e-4)
    each = layer(np.stack([x[0, 7:9], x[1, 300:302]]), start=np.array([7, 300]))
    np.testing.assert_allclose(array(each)[0], expected[0, 7:9], atol=1e-4)
    np.testing.assert_allclose(array(each)[1], expected[1, 300:302], atol=1e-4)


def test_trained_positions_start_anywhere_and_end():
    layer = LearnedPositionalEncoding(M, scale=0.5)
    y = array(layer(X))
    np.testing.assert_allclose(y, X / 2 + array(layer.vectors), atol=1e-6)
    np.testing.assert_allclose(array(layer(X[:, 2:4], start=2)), y[:, 2:4], atol=1e-6)
    with pytest.raises(ValueError, match="a sequence of 7 steps has more than the 6 positions"):
        LearnedPositionalEncoding(M).build((None, 7, K))


def test_maxout_is_the_larger_of_neighbours():
    np.testing.assert_array_equal(array(Maxout(2)(X)), np.maximum(X[..., 0::2], X[..., 1::2]))


@pytest.mark.parametrize(
    "layer",
    [
        SelfAttention(H, P, L, N, merge_qk=True),
        Alignment("concat", "local_p", units=4, width=2),
        MultiHeadAttention(H, P, chunk=4),
        Sinusoids(3.0),
        LearnedPositionalEncoding(M, 3.0),
        Maxout(4),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_files_have_the_same_layer(layer, tmp_path):
    x = keras.Input((None, K))
    y = layer(x, x) if isinstance(layer, (Alignment, MultiHeadAttention)) else layer(x)
    model = keras.Model(x, y)
    drawn(layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))
    assert model.output_shape == loaded.output_shape == (None, *([None, *model(X).shape[2:]]))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Alignment("dott"), "score is one of additive, dot, general, concat, scaled, not"),
        (lambda: Alignment(window="local"), "window is one of global, local_m, local_p, hard, not"),
        (lambda: Alignment("dot")(QUERIES, X), "queries as wide as the memory, not 3 and 8"),
        (lambda: MultiHeadAttention(2, 4, chunk=0), "chunk is a whole number of queries from 1"),
        (lambda: MultiHeadAttention(2, 4, chunk=4, dropout=0.1), "no dropout of weights"),
        (lambda: SelfAttention(2, 4, merge_vo=True), "merge_vo=True needs output_dim"),
        (lambda: Maxout(3)(X), "8 values are no whole number of groups of 3"),
    ],
)
def test_refusals_say_what_is_allowed(make, says):
    with pytest.raises(ValueError, match=says):
        make()

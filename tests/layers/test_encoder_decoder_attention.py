"""`Alignment` against the equations of its papers: scores, windows, hard attention, masks, precision, files."""

import keras
import numpy as np
import pytest
from attention_inputs import (
    MASK,
    QUERIES,
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

from kapps.layers import Alignment

WEIGHTS = np.random.default_rng(6).normal(size=(2, 4, K)).astype("float32")
"""The gradient of the loss `product` with respect to the outputs."""


def score(name, z, x, w):
    """The score of one query and one input."""
    if name == "additive":
        return w["v"][:, 0] @ np.tanh(w["query_kernel"].T @ z + w["memory_kernel"].T @ x)
    if name == "concat":
        w_a = np.concatenate([w["query_kernel"], w["memory_kernel"]]).T
        return w["v"][:, 0] @ np.tanh(w_a @ np.concatenate([z, x]))
    if name == "dot":
        return z @ x
    if name == "multiplicative":
        return (w["query_kernel"].T @ z) @ (w["memory_kernel"].T @ x)
    general = z @ w["memory_kernel"].T @ x
    return general / np.sqrt(len(z)) if name == "scaled" else general


def attention_weights(name, window, width, z, d, inputs, w):
    """The weights of one query by the equations, for each input."""
    length = len(inputs)
    center = {"local_m": d}.get(window)
    if window == "local_p":
        center = np.tanh(w["position_kernel"].T @ z) @ w["position_v"][:, 0]
        center = length / (1 + np.exp(-center))
    allowed = [s for s in range(length) if center is None or abs(s - center) <= width]
    weights = np.zeros(length)
    if allowed:
        weights[allowed] = softmax(np.array([score(name, z, inputs[s], w) for s in allowed]))
    if window == "local_p":
        weights *= np.exp(-((np.arange(length) - center) ** 2) / (2 * (width / 2) ** 2))
    if window == "hard":
        weights = np.eye(length)[weights.argmax()]
    return weights


@pytest.mark.parametrize("window", ["global", "local_m", "local_p", "hard"])
@pytest.mark.parametrize(
    "name", ["additive", "concat", "dot", "general", "scaled", "multiplicative"]
)
def test_alignment_is_the_papers(name, window):
    inputs = X[..., :P] if name == "dot" else X
    layer = Alignment(name, window, width=1, units=None if name == "additive" else 4)
    layer.build(QUERIES.shape, inputs.shape)
    w = randomise(layer)
    y, a = layer(QUERIES, inputs, memory_mask=MASK, start=1, return_attention_scores=True)
    for i, n in enumerate(MASK.sum(axis=1)):
        for d in range(4):
            z, memory = QUERIES[i, d].astype("float64"), inputs[i, :n].astype("float64")
            expected = attention_weights(name, window, 1, z, d + 1, memory, w)
            np.testing.assert_allclose(array(a)[i, d, :n], expected, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(array(y)[i, d], expected @ memory, rtol=1e-5, atol=1e-5)
    assert not array(a)[0, :, 4:].any() and array(a).dtype == "float32"


def product(expected, y):
    """A loss with a gradient that does not depend on y."""
    return keras.ops.mean(expected * y)


def train_once(layer):
    """Returns the weights of a layer after and before one gradient step of the loss `product`."""
    inputs = [keras.Input((None, P)), keras.Input((None, K))]
    model = keras.Model(inputs, layer(*inputs))
    randomise(model.layers[-1])
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(20.0), product, jit_compile=False)
    model.train_on_batch([QUERIES, X], WEIGHTS)
    return model.get_weights(), before


def test_hard_attention_is_sampled_from_the_weights():
    layer, soft = Alignment("dot", "hard", seed=1), Alignment("dot")
    inputs = np.repeat(X[:1, :, :P], 4000, axis=0)
    queries = np.repeat(QUERIES[:1, :1], 4000, axis=0)
    _, a = layer(queries, inputs, return_attention_scores=True, training=True)
    _, distribution = soft(queries, inputs, return_attention_scores=True)
    assert set(np.unique(array(a))) == {0.0, 1.0} and (array(a).sum(axis=-1) == 1).all()
    np.testing.assert_allclose(array(a).mean(axis=0), array(distribution)[0], atol=0.03)


def test_hard_attentions_gradient_is_that_of_the_mean():
    hard, before = train_once(Alignment("general", "hard"))
    soft, _ = train_once(Alignment("general"))
    assert np.abs(hard[0] - before[0]).max() > 0.1
    np.testing.assert_allclose(hard[0], soft[0], rtol=1e-5, atol=1e-5)


def test_outputs_are_zeros_if_all_inputs_are_masked():
    for layer in (
        Alignment("scaled"),
        Alignment("general", "hard"),
        Alignment("additive", "local_p"),
    ):
        y, a = layer(QUERIES, X, memory_mask=np.zeros((2, M), bool), return_attention_scores=True)
        assert not array(y).any() and not array(a).any()


@pytest.mark.parametrize("score, window", [("scaled", "global"), ("additive", "local_p")])
def test_half_precision_has_no_nan(score, window):
    layer = Alignment(score, window, dtype="mixed_float16")
    check_half_precision(
        lambda x, mask: layer(x, x, memory_mask=mask, return_attention_scores=True)
    )


def test_files(tmp_path):
    check_file(Alignment("concat", "local_p", units=4, width=2), tmp_path / "model.keras")


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(score="dott"), ["score", "additive, dot, general, concat, scaled", "'dott'"]),
        (dict(window="local"), ["window", "global, local_m, local_p, hard", "'local'"]),
        (dict(score="dot"), ["dot", "3", "8", "general"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        Alignment(**options)(QUERIES, X)
    assert all(word in str(error.value) for word in words)

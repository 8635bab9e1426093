"""The Sparse Transformer: the parameters of its equations, a forward pass in NumPy, and its errors."""

import keras
import numpy as np
import pytest

from kapps import (
    sparse_transformer_cifar10,
    sparse_transformer_enwik8,
    sparse_transformer_imagenet64,
)
from kapps.families import sparse_transformer

SMALL = dict(
    vocabulary=11, layers=2, d_model=8, ffn=12, heads=2, stride=4, summary=1, positions=(5, 4),
    patterns=("strided", "fixed"), classifier_activation=None,
)  # fmt: skip
TOKENS = np.random.default_rng(0).integers(1, 11, (2, 14)).astype("int32")


def layer_parameters(d, ffn, queries):
    """Of a layer: two norms, W_Q, W_K, W_V and W_O with biases, two dense layers with biases."""
    attention = 2 * (d * queries + queries) + 2 * (d * d + d)
    return 4 * d + attention + 2 * d * ffn + ffn + d


def test_parameters_are_those_of_the_equations():
    """The paper prints 59M, 95M and 152M."""
    cifar10 = 128 * layer_parameters(256, 512, 128) + 2 * 256 + 2 * 256 * 256
    assert cifar10 == 59_179_520
    assert sparse_transformer_cifar10.card.params == cifar10 + (32 + 32 + 3) * 256
    enwik8 = 30 * layer_parameters(512, 2048, 512) + 2 * 512 + 2 * 256 * 512
    assert enwik8 == 94_834_688
    assert sparse_transformer_enwik8.card.params == enwik8 + (96 + 128) * 512
    imagenet = 48 * layer_parameters(512, 2048, 512) + 2 * 512 + 2 * 256 * 512
    assert imagenet == 151_577_600
    assert sparse_transformer_imagenet64.card.params == imagenet + (64 + 64 + 3) * 512


def norm(x, w, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


def dense(x, w, name):
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def attention(x, w, name, visible):
    parts = [
        dense(x, w, f"{name}/{part}").reshape(len(x), 2, 4).swapaxes(0, 1)
        for part in ("query", "key", "value")
    ]
    scores = np.where(visible, parts[0] @ parts[1].swapaxes(1, 2) / 2, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    y = (weights @ parts[2]).swapaxes(0, 1).reshape(len(x), 8)
    return dense(y, w, f"{name}/attention_output")


def test_logits_are_the_equations():
    model = sparse_transformer(**SMALL)
    random = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(
            random.normal(1.0 if variable.name == "gamma" else 0.0, 0.4, variable.shape)
        )
    w = {v.path: keras.ops.convert_to_numpy(v).astype("float64") for v in model.weights}
    result = keras.ops.convert_to_numpy(model(TOKENS))
    i, j = np.mgrid[:14, :14]
    strided = (j <= i) & ((i - j < 4) | ((i - j) % 4 == 0))
    fixed = (j <= i) & ((i // 4 == j // 4) | (j % 4 == 3))
    row, column = np.divmod(np.arange(14), 4)
    for tokens, logits in zip(TOKENS, result, strict=True):
        x = w["embedding/embeddings"][tokens]
        x = x + w["positions/vectors1"][row] + w["positions/vectors2"][column]
        for name, visible in (("decoder1", strided), ("decoder2", fixed)):
            x = x + attention(norm(x, w, f"{name}_attention_norm"), w, f"{name}_attention", visible)
            hidden = dense(norm(x, w, f"{name}_ffn_norm"), w, f"{name}_ffn1")
            hidden = hidden / (1 + np.exp(-1.702 * hidden))
            x = x + dense(hidden, w, f"{name}_ffn2")
        expected = norm(x, w, "decoder_norm") @ w["head_logits/kernel"]
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert np.ptp(result) > 3


def test_heads_that_do_not_divide_the_width_raise():
    with pytest.raises(ValueError, match="d_model=8 is not divisible by heads=3"):
        sparse_transformer(**{**SMALL, "heads": 3})

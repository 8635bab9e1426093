"""The Reformer: the parameters of its equations, a forward pass in NumPy, options, kinds of layers."""

import keras
import numpy as np
import pytest

from kapps import reformer_crime, reformer_enwik8, reformer_enwik8_768, reformer_imagenet64
from kapps.attention.reformer import bucket_factors
from kapps.families import reformer
from kapps.layers import LSHAttention

SMALL = dict(
    vocabulary=11, kinds=("local", "lsh"), layers=2, d_model=8, ffn=12, heads=2, key_dim=3, positions=(5, 4),
    position_widths=(3, 5), chunk=20, classifier_activation=None,
)  # fmt: skip
TOKENS = np.random.default_rng(0).integers(1, 11, (2, 14)).astype("int32")


def parameters(vocabulary, local, lsh, d, ffn, heads, axes):
    """Counts W_Q, W_K, W_V, W_O or W_QK, W_V, W_O; two norms; the feed-forward network; embedding, axes, logits.

    Args:
        vocabulary, d, ffn: sizes.
        local, lsh: numbers of layers of each kind.
        heads: width of all heads.
        axes: (length, width) of each axis.
    """
    rest = 4 * d + 2 * d * ffn + ffn + d
    layers = local * (4 * d * heads + rest) + lsh * (3 * d * heads + rest)
    return (
        layers
        + vocabulary * d
        + sum(n * width for n, width in axes)
        + 4 * d
        + (2 * d + 1) * vocabulary
    )


def test_parameters_are_those_of_hugging_face_and_trax():
    enwik8 = parameters(258, 9, 3, 1024, 4096, 8 * 128, [(128, 256), (512, 768)])
    assert reformer_enwik8.card.params == enwik8 == 149_182_722
    small = parameters(258, 9, 3, 768, 2048, 8 * 64, [(128, 256), (512, 512)])
    assert reformer_enwik8_768.card.params == small == 56_406_786
    imagenet = parameters(256, 0, 6, 1024, 4096, 8 * 64, [(64, 384), (64, 384), (3, 256)])
    assert reformer_imagenet64.card.params == imagenet == 60_664_832
    crime = parameters(320, 3, 3, 256, 512, 2 * 64, [(512, 64), (1024, 192)])
    assert reformer_crime.card.params == crime == 2_748_224


def norm(x, w, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


def attention(x, w, name, shared):
    """Causal attention of all pairs: of queries and keys, or of shared ones without the step itself."""
    names = ("query_key", "query_key", "value") if shared else ("query", "key", "value")
    query, key, value = (
        (x @ w[f"{name}/{part}/kernel"]).reshape(len(x), 2, 3).swapaxes(0, 1) for part in names
    )
    if shared:
        key = key / np.sqrt((key**2).mean(-1, keepdims=True) + 1e-6)
    scores = query @ key.swapaxes(1, 2) / np.sqrt(3)
    scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
    if shared:
        scores = np.where(np.eye(len(x), dtype=bool), -1e5, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    y = (weights @ value).swapaxes(0, 1).reshape(len(x), 6)
    return y @ w[f"{name}/attention_output/kernel"]


def test_logits_are_the_equations():
    model = reformer(**SMALL)
    random = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(
            random.normal(1.0 if variable.name == "gamma" else 0.0, 0.4, variable.shape)
        )
    w = {v.path: keras.ops.convert_to_numpy(v).astype("float64") for v in model.weights}
    result = keras.ops.convert_to_numpy(model(TOKENS))
    row, column = np.divmod(np.arange(14), 4)
    place = np.concatenate([w["positions/vectors1"][row], w["positions/vectors2"][column]], axis=1)
    for tokens, logits in zip(TOKENS, result, strict=True):
        x1 = x2 = w["embedding/embeddings"][tokens] + place
        for i, kind in enumerate(("local", "lsh"), start=1):
            name = f"decoder/layer{i}_attention"
            y = norm(x2, w, f"{name}/norm")
            x1 = x1 + attention(y, w, f"{name}/{kind}{i}", kind == "lsh")
            name = f"decoder/layer{i}_ffn"
            y = norm(x1, w, f"{name}/norm")
            f = f"{name}/ffn{i}"
            hidden = np.maximum(y @ w[f"{f}/kernel1"] + w[f"{f}/bias1"], 0)
            x2 = x2 + hidden @ w[f"{f}/kernel2"] + w[f"{f}/bias2"]
        y = norm(np.concatenate([x1, x2], axis=1), w, "decoder_norm")
        expected = y @ w["head_logits/kernel"] + w["head_logits/bias"]
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert np.ptp(result) > 3


def test_buckets_are_twice_the_chunks_and_layers_have_rotations_of_their_own():
    assert bucket_factors(65_536, 64) == (32, 64)
    assert bucket_factors(20, 20) == (2, 2)
    stack = reformer(**{**SMALL, "kinds": ("lsh",), "buckets": (2, 6)}).get_layer("decoder")
    first, second = (branch.layer for branch in stack.attentions)
    assert isinstance(first, LSHAttention) and first.buckets == (2, 6)
    assert np.abs(first.rotations[0] - second.rotations[0]).max() > 0.1


def test_an_unknown_kind_raises():
    with pytest.raises(ValueError, match=r"hashed.*local, lsh"):
        reformer(**{**SMALL, "kinds": ("hashed",)})

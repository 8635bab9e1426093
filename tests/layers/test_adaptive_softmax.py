"""The adaptive softmax: its equation, a sum of 1, PyTorch's module, precision, files and the head."""

import keras
import numpy as np
import pytest
from attention_inputs import array, randomise, softmax

import kapps
from kapps.layers import AdaptiveSoftmax

CLASSES, CUTOFFS, D = 11, (3, 5, 8), 8
X = np.random.default_rng(0).normal(size=(2, 4, D)).astype("float32")


def build(**options):
    """A layer with random weights, and its weights by name."""
    layer = AdaptiveSoftmax(CLASSES, CUTOFFS, 2.0, **options)
    layer.build(X.shape)
    return layer, randomise(layer)


def test_probabilities_are_those_of_the_cluster_times_those_within_it():
    layer, w = build()
    p = np.exp(array(layer(X)))
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5, atol=1e-5)
    head = softmax(X @ w["head_kernel"])
    assert head.shape[-1] == 3 + 3
    expected = [head[..., :3]]
    for i, (size, width) in enumerate(((2, 4), (3, 2), (3, 1)), start=1):
        assert w[f"projection{i}"].shape == (D, width) and w[f"kernel{i}"].shape == (width, size)
        within = softmax(X @ w[f"projection{i}"] @ w[f"kernel{i}"])
        expected.append(head[..., 2 + i : 3 + i] * within)
    np.testing.assert_allclose(p, np.concatenate(expected, axis=-1), rtol=1e-5, atol=1e-5)
    parameters = D * 6 + D * (4 + 2 + 1) + 4 * 2 + 2 * 3 + 1 * 3
    assert layer.count_params() == parameters


@pytest.mark.peers
def test_is_pytorchs():
    import torch

    layer, w = build()
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(D, CLASSES, list(CUTOFFS), div_value=2.0)
    assert layer.count_params() == sum(weight.numel() for weight in theirs.parameters())
    order = ["head_kernel", *(f"{kind}{i}" for i in (1, 2, 3) for kind in ("projection", "kernel"))]
    for theirs_weight, name in zip(theirs.parameters(), order, strict=True):
        theirs_weight.data = torch.tensor(w[name].T).float()
    x = torch.tensor(X).reshape(-1, D)
    with torch.no_grad():
        expected = theirs.log_prob(x).numpy().reshape(2, 4, CLASSES)
        targets = torch.arange(8) % CLASSES
        loss = float(theirs(x, targets).loss)
    y = array(layer(X))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    losses = -y.reshape(-1, CLASSES)[np.arange(8), targets.numpy()]
    assert losses.mean() == pytest.approx(loss, abs=1e-5)


def test_without_cutoffs_it_is_a_softmax():
    layer = AdaptiveSoftmax(CLASSES)
    y = array(layer(X))
    np.testing.assert_allclose(
        np.exp(y), softmax(X @ array(layer.head_kernel)), rtol=1e-5, atol=1e-5
    )
    assert layer.count_params() == D * CLASSES


def test_half_precision_is_computed_in_float32():
    layer, _ = build(dtype="float16")
    large = (1000 * X).astype("float16")
    y = array(layer(large))
    assert y.dtype == np.float16 and np.isfinite(y.astype("float32")[y > -6e4]).all()
    np.testing.assert_allclose(np.exp(y.astype("float32")).sum(axis=-1), 1, atol=0.05)


def test_the_head_leaves_cutoffs_out_and_loads_from_a_file(tmp_path):
    x = keras.Input((None, D))
    for classes, cutoffs in ((CLASSES, (3, 5)), (4, (3,)), (3, ())):
        head = kapps.heads.adaptive_softmax(x, classes, "softmax", cutoffs=(3, 5, 11, 40), div_value=2.0)  # fmt: skip
        model = keras.Model(x, head)
        layer = model.get_layer("head_logits")
        assert layer.cutoffs == cutoffs and model.output_shape == (None, None, classes)
        np.testing.assert_allclose(array(model(X)), np.exp(array(layer(X))), rtol=1e-5, atol=1e-5)
    model = keras.Model(
        x, kapps.heads.adaptive_softmax(x, CLASSES, None, cutoffs=(3, 5), div_value=2.0)
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(X)), array(model(X)))


@pytest.mark.tensorflow
@pytest.mark.long
def test_tflite_agrees(tmp_path):
    x = keras.Input((4, D))
    model = keras.Model(
        x, kapps.heads.adaptive_softmax(x, CLASSES, "softmax", cutoffs=(3, 5), div_value=2.0)
    )
    path = kapps.export.tflite(model, tmp_path / "model.tflite")
    assert kapps.export.verify(model, path, X).largest_difference < 1e-5


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(cutoffs=(5, 3)), ["cutoffs=(5, 3)", "increasing"]),
        (dict(cutoffs=(3, 11)), ["cutoffs=(3, 11)", "classes=11"]),
        (dict(cutoffs=(0, 3)), ["cutoffs=(0, 3)"]),
        (dict(cutoffs=CUTOFFS), ["8 features", "3 clusters"]),
        (dict(div_value=0.5), ["div_value=0.5"]),
    ],
)
def test_errors_name_what_is_allowed(options, words):
    with pytest.raises(ValueError) as error:
        AdaptiveSoftmax(CLASSES, **options).build(X.shape)
    assert all(word in str(error.value) for word in words)

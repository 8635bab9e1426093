"""Lightweight and dynamic convolutions: their equations in loops, masks, single steps, precision, dropout, files."""

import keras
import numpy as np
import pytest
from attention_inputs import array, check_file, randomise, softmax

import kapps
from kapps.layers import DynamicConv1D, LightweightConv1D

STEPS, CHANNELS, HEADS = 9, 6, 3
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, STEPS, CHANNELS)).astype("float32")
KINDS = (LightweightConv1D, DynamicConv1D)
# Kernels of 15 and 31 steps are longer than the sequence.
CASES = [(3, "same"), (3, "causal"), (4, "causal"), (15, "causal"), (31, "same"), (1, "causal")]


def build(kind, kernel_size, padding="causal", **options):
    """A layer with random weights, and its weights by name."""
    layer = kind(HEADS, kernel_size, padding, **options)
    layer.build((None, None, CHANNELS))
    return layer, randomise(layer)


def loops(x, w, kernel_size, padding):
    """y_{t,c} = sum_k softmax(W_h)_k x_{t+k-p,c}, h = floor(c H / C); a dynamic W_h is that of step t."""
    p = kernel_size - 1 if padding == "causal" else kernel_size // 2
    y = np.zeros_like(x)
    for t in range(len(x)):
        scores = w["kernel"] if "kernel" in w else (x[t] @ w["projection"]).reshape(HEADS, -1)
        for c in range(CHANNELS):
            for k, weight in enumerate(softmax(scores[c * HEADS // CHANNELS])):
                if 0 <= t + k - p < len(x):
                    y[t, c] += weight * x[t + k - p, c]
    return y


@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_are_the_equation(kind):
    for kernel_size, padding in CASES:
        layer, w = build(kind, kernel_size, padding)
        expected = [loops(x.astype("float64"), w, kernel_size, padding) for x in X]
        np.testing.assert_allclose(array(layer(X)), expected, rtol=1e-5, atol=1e-5)


def test_equal_weights_are_a_moving_average():
    for kind in KINDS:
        layer = kind(HEADS, 3, "causal")
        layer.build((None, None, CHANNELS))
        for weight in layer.weights:
            weight.assign(np.zeros(weight.shape))
        before = np.pad(X, ((0, 0), (2, 0), (0, 0)))
        expected = (before[:, 2:] + before[:, 1:-1] + before[:, :-2]) / 3
        np.testing.assert_allclose(array(layer(X)), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_steps_are_those_of_a_shorter_sequence(kind):
    mask = np.arange(STEPS) < np.array([[5], [STEPS]])
    layer, _ = build(kind, 5, "same")
    y = array(layer(X, mask=mask))
    np.testing.assert_allclose(y[0, :5], array(layer(X[:1, :5]))[0], atol=1e-6)
    np.testing.assert_allclose(y[1], array(layer(X[1:]))[0], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_single_steps_keep_the_last_inputs_and_equal_the_whole_sequence(kind):
    for kernel_size in (1, 4, 15):
        layer, _ = build(kind, kernel_size)
        specs = layer.decoding_state(2, STEPS)
        shapes = {name: spec.shape for name, spec in specs.items()}
        assert shapes == ({"window": (2, kernel_size - 1, CHANNELS)} if kernel_size > 1 else {})
        state, steps = {name: np.zeros(shape, "float32") for name, shape in shapes.items()}, []
        for t in range(STEPS):
            y, state = layer.decoding_step(
                keras.ops.convert_to_tensor(X[:, t : t + 1]), None, state
            )
            steps.append(array(y))
        np.testing.assert_allclose(
            np.concatenate(steps, axis=1), array(layer(X)), rtol=1e-5, atol=1e-5
        )
    with pytest.raises(ValueError, match="causal"):
        build(kind, 3, "same")[0].check_decoding()


@pytest.mark.parametrize("kind", KINDS)
def test_the_softmax_of_half_precision_is_in_float32(kind):
    layer, _ = build(kind, 5, dtype="mixed_float16")
    exact, _ = build(kind, 5)
    y = array(layer(X))
    assert y.dtype == np.float16 and np.isfinite(y).all()
    np.testing.assert_allclose(y, array(exact(X)), atol=0.01)


def test_training_drops_values_of_the_normalised_kernel():
    """With W = 0 and K = 4, an output of ones is the number of values that are left, times 2 / 4."""
    layer = LightweightConv1D(CHANNELS, 4, "causal", dropout=0.5)
    layer.build((None, None, CHANNELS))
    layer.kernel.assign(np.zeros(layer.kernel.shape))
    ones = np.ones((1, 20, CHANNELS), "float32")
    dropped = np.concatenate([array(layer(ones, training=True))[0, 4:] for _ in range(5)])
    np.testing.assert_allclose(dropped * 2, np.round(dropped * 2), rtol=1e-5, atol=1e-5)
    assert dropped.std() > 0.1 and np.ptp(dropped[:16], axis=0).max() < 1e-5
    np.testing.assert_allclose(array(layer(ones))[0, 4:], 1, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_files(kind, tmp_path):
    check_file(kind(2, 3, "causal", 0.1), tmp_path / "model.keras")


def test_costs_and_the_receptive_field():
    x = keras.Input((STEPS, CHANNELS))
    models = [keras.Model(x, kind(HEADS, 5, "causal", name="conv")(x)) for kind in KINDS]
    light, dynamic = map(kapps.profile, models)
    assert light.macs == STEPS * CHANNELS * 5
    assert dynamic.macs == light.macs + STEPS * CHANNELS * HEADS * 5
    for profile in (light, dynamic):
        (field,) = profile.row("conv").receptive_field
        assert (field.size, field.offset) == (5, -4)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((4, 3), ["6 channels", "heads=4"]),
        ((3, 4, "same"), ["kernel_size=4", "odd"]),
        ((3, 3, "valid"), ["'valid'", '"causal"']),
    ],
)
def test_errors_name_what_is_allowed(arguments, words):
    for kind in KINDS:
        with pytest.raises(ValueError) as error:
            kind(*arguments).build((None, None, CHANNELS))
        assert all(word in str(error.value) for word in words)

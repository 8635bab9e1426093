"""Halting: weights of adaptive computation time, mixtures, the ponder cost, geometric exits, copied states."""

import keras
import numpy as np
import pytest

from kapps.layers import AdaptiveComputationTime, HaltingStep, HaltingUnit
from kapps.layers.halting import geometric_distribution, halting_weights

RANDOM = np.random.default_rng(0)


def array(x):
    return keras.ops.convert_to_numpy(x)


def halt(p, epsilon=0.01):
    """Weights, N and R of one position, as the loop of Tensor2Tensor's `universal_transformer_act`."""
    total, remainder, updates, weights = 0.0, 0.0, 0, []
    for probability in p:
        running = total < 1
        halts = running and total + probability > 1 - epsilon
        if halts:
            remainder = 1 - total
            weights.append(remainder)
            total = 1.0
        else:
            weights.append(probability if running else 0.0)
            total += probability if running else 0.0
        updates += running
    return weights, updates, remainder


def test_halting_weights_are_the_worked_example():
    """p = 0.1, 0.3, 0.8: weights 0.1, 0.3, 0.6, N = 3, R = 0.6, ponder cost 3.6."""
    w, n, r = (array(x) for x in halting_weights(np.array([0.1, 0.3, 0.8, 0.5], "float32")))
    np.testing.assert_allclose(w, [0.1, 0.3, 0.6, 0], atol=1e-6)
    assert n == 3 and r == pytest.approx(0.6, abs=1e-6)


def test_halting_weights_are_the_loops():
    p = RANDOM.uniform(0, 0.5, (40, 7)).astype("float32")
    p[0], p[1], p[2] = 0.01, 1.0, 0.0
    results = [array(x) for x in halting_weights(p)]
    for i, row in enumerate(p):
        for result, expected in zip(results, halt(row), strict=True):
            np.testing.assert_allclose(result[i], expected, atol=1e-6)
    w, n, r = results
    halted = r > 0
    np.testing.assert_allclose(w[halted].sum(-1), 1, atol=1e-6)
    assert w[0].sum() < 0.1 and n[0] == 7 and n[1] == 1 and halted.mean() > 0.5


@pytest.mark.parametrize("mixture", ["recursive", "accumulated"])
def test_mixtures(mixture):
    p = RANDOM.uniform(0, 0.6, (4, 2, 3, 1)).astype("float32")
    x = RANDOM.normal(size=(4, 2, 3, 5)).astype("float32")
    y = array(AdaptiveComputationTime(mixture=mixture)([*p, *x]))
    for batch, time in np.ndindex(2, 3):
        weights, *_ = halt(p[:, batch, time, 0])
        state = 0
        for w, value in zip(weights, x[:, batch, time], strict=True):
            state = w * value + (1 - w if mixture == "recursive" else 1) * state
        np.testing.assert_allclose(y[batch, time], state, rtol=1e-5, atol=1e-5)


def test_the_two_mixtures_of_the_worked_example_differ():
    p = [np.full((1, 1, 1), value, "float32") for value in (0.1, 0.3, 0.8)]
    x = list(np.eye(3, dtype="float32")[:, None, None])
    recursive = array(AdaptiveComputationTime()([*p, *x])).ravel()
    accumulated = array(AdaptiveComputationTime(mixture="accumulated")([*p, *x])).ravel()
    np.testing.assert_allclose(accumulated, [0.1, 0.3, 0.6], atol=1e-6)
    np.testing.assert_allclose(recursive, [0.1 * 0.7 * 0.4, 0.3 * 0.4, 0.6], atol=1e-6)


class Ponder(keras.Model):
    """A unit that is called on three states, and the mixture of three outputs."""

    def __init__(self, ponder, mask=None):
        super().__init__()
        self.unit = HaltingUnit(bias=-1.0)
        self.act = AdaptiveComputationTime(ponder=ponder)
        self.hidden = mask

    def call(self, states, training=False):
        p = [self.unit(states[:, i]) for i in range(3)]
        x = [states[:, i] for i in range(3)]
        mask = None if self.hidden is None else [self.hidden] * 6
        return self.act([*p, *x], training=training, mask=mask)


STATES = RANDOM.normal(size=(2, 3, 4, 5)).astype("float32")
MASK = np.arange(4) < np.array([[2], [4]])


@pytest.mark.parametrize("mask", [None, MASK])
def test_the_ponder_cost_is_the_mean_over_real_steps_in_training_only(mask):
    model = Ponder(0.5, mask)
    model(STATES)
    assert not model.losses
    model(STATES, training=True)
    (loss,) = model.losses
    p = np.stack([array(model.unit(STATES[:, i]))[..., 0] for i in range(3)], axis=-1)
    costs = [sum(halt(row)[1:]) for row in p.reshape(-1, 3)]
    weights = np.ones(8) if mask is None else mask.ravel()
    assert float(loss) == pytest.approx(0.5 * np.average(costs, weights=weights), rel=1e-5)
    unweighted = Ponder(0)
    unweighted(STATES, training=True)
    assert not unweighted.losses


def test_the_ponder_cost_makes_halting_more_probable():
    model = Ponder(1.0)
    model(STATES)
    model.compile(keras.optimizers.SGD(0.1), loss=None, run_eagerly=True)
    before = float(array(model.unit.b)[0])
    model.train_on_batch(STATES, np.zeros((2, 4, 5)))
    assert float(array(model.unit.b)[0]) > before


def test_the_geometric_distribution_sums_to_1():
    chi = RANDOM.uniform(0, 1, (6, 4)).astype("float32")
    q = array(geometric_distribution(chi))
    np.testing.assert_allclose(q.sum(-1), 1, atol=1e-6)
    for row, c in zip(q, chi, strict=True):
        survives = [np.prod(1 - c[:n]) for n in range(5)]
        np.testing.assert_allclose(row, [*(c * survives[:4]), survives[4]], atol=1e-6)


def test_a_halted_position_keeps_its_state():
    new, old = (RANDOM.normal(size=(2, 3, 4)).astype("float32") for _ in range(2))
    p = np.array([[0.2, 0.9, 0.4], [0.6, 0.1, 0.5]], "float32")[..., None]
    step = HaltingStep(0.5)
    state, halted = step([new, old, p])
    np.testing.assert_array_equal(array(state), new)
    np.testing.assert_array_equal(array(halted)[..., 0], [[0, 1, 0], [1, 0, 0]])
    state, later = step([new, old, np.full((2, 1, 1), 0.7, "float32"), halted])
    np.testing.assert_array_equal(array(state), np.where(array(halted) > 0, old, new))
    assert array(later).all() and later.shape == (2, 3, 1)


def test_files_and_half_precision(tmp_path):
    x = keras.Input((None, 5))
    unit = HaltingUnit()
    p = unit(x)
    state, halted = HaltingStep(0.3)([x, 2 * x, p])
    state, _ = HaltingStep(0.4)([2 * state, state, p, halted])
    model = keras.Model(x, AdaptiveComputationTime(0.2, 0.1, "accumulated")([p, p, x, state]))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(STATES[0])), array(model(STATES[0])))
    half = STATES[0].astype("float16")
    unit = HaltingUnit(dtype="mixed_float16")
    p = unit(half)
    y = AdaptiveComputationTime(dtype="mixed_float16")([p, p, half, half])
    assert [keras.backend.standardize_dtype(t.dtype) for t in (p, y)] == ["float32", "float16"]


@pytest.mark.parametrize(
    "layer, options, words",
    [
        (AdaptiveComputationTime, dict(epsilon=2), ["epsilon", "2"]),
        (AdaptiveComputationTime, dict(ponder=-1), ["ponder", "-1"]),
        (AdaptiveComputationTime, dict(mixture="sum"), ["mixture", "sum", "accumulated"]),
        (HaltingUnit, dict(bias="a"), ["bias"]),
        (HaltingStep, dict(threshold=None), ["threshold"]),
    ],
)
def test_errors_name_what_is_allowed(layer, options, words):
    with pytest.raises(ValueError) as error:
        layer(**options)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)

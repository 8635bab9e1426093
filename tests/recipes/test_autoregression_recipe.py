"""Regressions on a series' own past: the solved one beside the series' own rule, steps ahead by hand."""

import pathlib

import keras
import numpy as np
import pytest

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def autoregression():
    """The module of the recipe's models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPES)
        from common import autoregression_models
    return autoregression_models


@pytest.fixture
def series():
    """x_t = 1.2 x_{t-1} - 0.6 x_{t-2} + 0.5, disturbed."""
    draw, values = np.random.default_rng(0), [1.0, 0.0]
    for _ in range(400):
        values.append(1.2 * values[-1] - 0.6 * values[-2] + 0.5 + draw.normal(0, 0.3))
    return np.array(values)


def test_least_squares_finds_the_rule(autoregression, series):
    model = autoregression.markov(2)
    autoregression.least_squares(model, series)
    kernel, bias = model.get_layer("values").get_weights()
    # The kernel's rows are of the oldest value first.
    np.testing.assert_allclose(kernel[:, 0], [-0.6, 1.2], atol=0.1)
    assert bias[0] == pytest.approx(0.5, abs=0.1)


def test_windows(autoregression, series):
    x, y = autoregression.windows(series, 3)
    assert x.shape == y.shape == (len(series) - 3, 3, 1)
    np.testing.assert_allclose(x[5, :, 0], series[5:8], rtol=1e-6)
    np.testing.assert_allclose(y[5, :, 0], series[6:9], rtol=1e-6)
    with pytest.raises(ValueError, match="no stretch of 402"):
        autoregression.windows(series, 402)


def test_markov_ahead_is_the_rule_again_and_again(autoregression, series):
    model = autoregression.markov(2)
    model.get_layer("values").set_weights([np.array([[-0.6], [1.2]]), np.array([0.5])])
    found = autoregression.ahead(model, series[:20], 3)
    assert found.shape == (19, 3, 1)
    for i in range(19):
        seen = list(series[i : i + 2])
        for j in range(3):
            seen.append(1.2 * seen[-1] - 0.6 * seen[-2] + 0.5)
            assert found[i, j, 0] == pytest.approx(seen[-1], abs=1e-4)


def test_latent_ahead_is_the_whole_models_run(autoregression, series):
    model = autoregression.latent((5,), cell="lstm")
    series = series[:9]
    found = autoregression.ahead(model, series, 3)
    assert found.shape == (9, 3, 1)
    for place in (0, 4, 8):
        seen = series[: place + 1, None].astype("float32")
        for j in range(3):
            value = keras.ops.convert_to_numpy(model(seen[None]))[0, -1]
            assert found[place, j, 0] == pytest.approx(float(value[0]), abs=1e-5)
            seen = np.concatenate([seen, value[None]])


def test_errors_are_of_the_same_values(autoregression, series):
    """A model that says the last value seen: k ahead, its error is the series' difference over k."""
    model = autoregression.markov(1)
    model.get_layer("values").set_weights([np.array([[1.0]]), np.array([0.0])])
    predicted = autoregression.ahead(model, series, 4)
    found = autoregression.errors(predicted, series[-100:], (1, 4))
    for k, error in found.items():
        difference = series[-100:] - series[-100 - k : -k]
        assert error == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-4)
    with pytest.raises(ValueError, match="do not meet"):
        autoregression.errors(predicted, series, (4,))


def test_far_ahead_fades_to_the_mean(autoregression, series):
    """The lectures' warning: reasonable one step ahead, of no use many."""
    model = autoregression.markov(2)
    autoregression.least_squares(model, series[:300])
    predicted = autoregression.ahead(model, series, 30)
    found = autoregression.errors(predicted, series[-60:], (1, 4, 30))
    assert found[1] < 0.35 and 1.3 * found[1] < found[4]
    assert predicted[-60:, -1].std() < 0.1 * series.std()

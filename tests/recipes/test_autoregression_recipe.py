"""Autoregressive forecasts, compared with the rule of the series and with forecasts computed by hand."""

import keras
import module_files
import numpy as np
import pytest


@pytest.fixture(scope="module")
def autoregression():
    """The module with the recipe's models."""
    return module_files.load("recipes/common/autoregression_models.py")


@pytest.fixture
def series():
    """x_t = 1.2 x_{t-1} - 0.6 x_{t-2} + 0.5, plus noise."""
    random, values = np.random.default_rng(0), [1.0, 0.0]
    for _ in range(400):
        values.append(1.2 * values[-1] - 0.6 * values[-2] + 0.5 + random.normal(0, 0.3))
    return np.array(values)


def test_least_squares_finds_the_rule(autoregression, series):
    model = autoregression.markov(2)
    autoregression.fit_least_squares(model, series)
    kernel, bias = model.get_layer("values").get_weights()
    # The first row of the kernel belongs to the oldest value.
    np.testing.assert_allclose(kernel[:, 0], [-0.6, 1.2], atol=0.1)
    assert bias[0] == pytest.approx(0.5, abs=0.1)


def test_windows(autoregression, series):
    x, y = autoregression.windows(series, 3)
    assert x.shape == y.shape == (len(series) - 3, 3, 1)
    np.testing.assert_allclose(x[5, :, 0], series[5:8], rtol=1e-6)
    np.testing.assert_allclose(y[5, :, 0], series[6:9], rtol=1e-6)
    with pytest.raises(ValueError, match="no window of 402"):
        autoregression.windows(series, 402)


def test_markov_forecasts_equal_the_rule_applied_repeatedly(autoregression, series):
    model = autoregression.markov(2)
    model.get_layer("values").set_weights([np.array([[-0.6], [1.2]]), np.array([0.5])])
    forecasts = autoregression.forecast(model, series[:20], 3)
    assert forecasts.shape == (19, 3, 1)
    for i in range(19):
        inputs = list(series[i : i + 2])
        for j in range(3):
            inputs.append(1.2 * inputs[-1] - 0.6 * inputs[-2] + 0.5)
            assert forecasts[i, j, 0] == pytest.approx(inputs[-1], abs=1e-4)


def test_latent_forecasts_equal_runs_of_the_whole_model(autoregression, series):
    model = autoregression.latent((5,), cell="lstm")
    series = series[:9]
    forecasts = autoregression.forecast(model, series, 3)
    assert forecasts.shape == (9, 3, 1)
    for origin in (0, 4, 8):
        inputs = series[: origin + 1, None].astype("float32")
        for j in range(3):
            value = keras.ops.convert_to_numpy(model(inputs[None]))[0, -1]
            assert forecasts[origin, j, 0] == pytest.approx(float(value[0]), abs=1e-5)
            inputs = np.concatenate([inputs, value[None]])


def test_errors_are_computed_over_the_same_values_for_each_k(autoregression, series):
    """A model that predicts the last value: its error k steps ahead is the difference of the series over k steps."""
    model = autoregression.markov(1)
    model.get_layer("values").set_weights([np.array([[1.0]]), np.array([0.0])])
    predicted = autoregression.forecast(model, series, 4)
    errors = autoregression.forecast_errors(predicted, series[-100:], (1, 4))
    for k, error in errors.items():
        difference = series[-100:] - series[-100 - k : -k]
        assert error == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-4)
    with pytest.raises(ValueError, match="do not cover"):
        autoregression.forecast_errors(predicted, series, (4,))


def test_forecasts_many_steps_ahead_decay_to_the_mean(autoregression, series):
    """The lectures' warning: one-step forecasts are accurate, forecasts many steps ahead are not."""
    model = autoregression.markov(2)
    autoregression.fit_least_squares(model, series[:300])
    predicted = autoregression.forecast(model, series, 30)
    errors = autoregression.forecast_errors(predicted, series[-60:], (1, 4, 30))
    assert errors[1] < 0.35 and 1.3 * errors[1] < errors[4]
    assert predicted[-60:, -1].std() < 0.1 * series.std()

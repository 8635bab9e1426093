"""Autoregressive forecasts of time series: from the last tau values (Markov) or from a recurrent state (latent).

[1] https://d2l.ai/chapter_recurrent-neural-networks/sequence.html

Markov: x_t ~ P(x_t | x_{t-1}, ..., x_{t-tau}).  Latent: h_t = g(h_{t-1}, x_{t-1}), x_t ~ P(x_t | h_t).

One-step forecasts are accurate. Forecasts k steps ahead use earlier forecasts as inputs; their errors accumulate,
and the forecast decays to the mean of the series.
"""

import keras
import numpy as np
from keras import layers

from kapps.generation import step_models
from kapps.layers.recurrent_stack import stack


def markov(tau, *, features=1, units=()):
    """Returns an autoregression of order tau [1]: (batch, tau, features) to the next value (batch, features).

    Args:
        tau: number of input values, the oldest first.
        features: number of features of a value.
        units: units of the hidden ReLU layers; an empty tuple gives the linear model.
    """
    sequence = keras.Input((tau, features), name="sequence")
    x = layers.Flatten(name="flatten")(sequence)
    for i, width in enumerate(units, start=1):
        x = layers.Dense(width, activation="relu", name=f"dense{i}")(x)
    return keras.Model(sequence, layers.Dense(features, name="values")(x), name="markov")


def latent(units=(32,), *, cell="gru", features=1):
    """Returns a recurrent regression: (batch, time, features) to the next value at each step, of the same shape.

    Args:
        units: units of each recurrent layer.
        cell: name of the cell, as in `kapps.layers.recurrent_stack.recurrent_layer`.
        features: number of features of a value.
    """
    sequence = keras.Input((None, features), name="sequence")
    x = stack(sequence, tuple(units), cell=cell)
    return keras.Model(sequence, layers.Dense(features, name="values")(x), name="latent")


def windows(series, length):
    """Returns all windows of `length` values and the next value at each step: both float32 [m, length, features].

    The target of `markov` is the last of the next values, [:, -1].

    Args:
        series: float [time] or [time, features], longer than `length`.
        length: number of values of a window.
    """
    series = _columns(series)
    if not 1 <= length < len(series):
        raise ValueError(
            f"a series of {len(series)} values has no window of {length} values and a next value"
        )
    views = np.lib.stride_tricks.sliding_window_view(series, length + 1, axis=0)
    views = views.transpose(0, 2, 1)
    return views[:, :-1], views[:, 1:]


def fit_least_squares(model, series):
    """Sets the weights of a linear `markov` model to the least-squares solution on a series."""
    if len(model.layers) != 3:
        raise ValueError(
            f"{model.name} has hidden layers; least squares needs the linear model (units=())"
        )
    x, y = windows(series, model.input.shape[1])
    x = x.reshape(len(x), -1).astype("float64")
    solved, *_ = np.linalg.lstsq(np.hstack([x, np.ones((len(x), 1))]), y[:, -1], rcond=None)
    model.get_layer("values").set_weights([solved[:-1], solved[-1]])


def forecast(model, series, steps):
    """Returns the forecasts 1 to `steps` steps ahead from each time of a series.

    A forecast uses the values of the series up to its origin and earlier forecasts after it.

    Args:
        model: a trained `markov` or `latent` model.
        series: float [time] or [time, features].
        steps: number of steps ahead.

    Returns:
        float32 [time - tau + 1, steps, features], with tau = 1 for `latent`. Row i, column j forecasts series[tau +
        i + j] from the values up to time tau - 1 + i.
    """
    series = _columns(series)
    tau = model.input.shape[1]
    if tau is None:
        return _latent_forecast(model, series, steps)
    if len(series) < tau:
        raise ValueError(f"a series of {len(series)} values is shorter than tau={tau}")
    inputs = np.lib.stride_tricks.sliding_window_view(series, tau, axis=0).transpose(0, 2, 1)
    forecasts = []
    for _ in range(steps):
        forecasts.append(np.asarray(model.predict_on_batch(inputs)))
        inputs = np.concatenate([inputs[:, 1:], forecasts[-1][:, None]], axis=1)
    return np.stack(forecasts, axis=1)


def _latent_forecast(model, series, steps):
    """Runs the model over the series to get the state of each origin, then forecasts from all origins as one batch."""
    step_model = step_models.step_model(model)
    states, outputs = step_models.initial_states(step_model, 1), []
    for value in series:
        output = step_model.predict_on_batch({"sequence": value[None, None], **states})
        states = {name: output[name] for name in states}
        outputs.append(output)
    states = {
        name: np.concatenate([np.asarray(output[name]) for output in outputs])
        for name in outputs[0]
    }
    forecasts = [states.pop("values")]
    for _ in range(steps - 1):
        states = step_model.predict_on_batch({"sequence": forecasts[-1], **states})
        forecasts.append(np.asarray(states.pop("values")))
    return np.concatenate(forecasts, axis=1)


def forecast_errors(forecasts, series, steps):
    """Returns the root mean squared error k steps ahead, {k: float}, over the same values for each k.

    Args:
        forecasts: the result of `forecast` for the series, or for a longer series that ends with it.
        series: the true values, float [time] or [time, features].
        steps: the values of k.
    """
    series = _columns(series)
    if max(steps) > forecasts.shape[1] or len(forecasts) < len(series) + max(steps):
        raise ValueError(
            f"{len(forecasts)} forecasts of {forecasts.shape[1]} steps do not cover {len(series)} values "
            f"{max(steps)} steps ahead"
        )
    errors = {}
    for k in steps:
        # The last value of the series is k steps after the origin of row len(forecasts) - 1 - k.
        at_k = forecasts[len(forecasts) - len(series) - k : len(forecasts) - k, k - 1]
        errors[k] = float(np.sqrt(np.mean((at_k - series) ** 2)))
    return errors


def _columns(series):
    series = np.asarray(series, "float32")
    return series[:, None] if series.ndim == 1 else series

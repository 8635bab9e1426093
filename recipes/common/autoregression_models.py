"""Time series from their own past: by the last tau values (Markov), or by a state of all that came (latent).

[1] https://d2l.ai/chapter_recurrent-neural-networks/sequence.html

Markov: x_t ~ P(x_t | x_{t-1}, ..., x_{t-tau}).  Latent: h_t = g(h_{t-1}, x_{t-1}), x_t ~ P(x_t | h_t).

One step ahead both are reasonable; predictions that predictions are made from, k steps ahead, are not for long: errors
add up, and with them the series fades to its mean.
"""

import keras
import numpy as np
from keras import layers

from kapps.generation import step_models
from kapps.layers.recurrent_stack import stack


def markov(tau, *, features=1, units=()):
    """Returns a regression of order tau: (batch, tau, features) to the next value (batch, features); linear as in [1].

    Args:
        tau: how many values it sees, the oldest first.
        features: of a value.
        units: widths of hidden layers of ReLU, none for the linear model.
    """
    sequence = keras.Input((tau, features), name="sequence")
    x = layers.Flatten(name="flatten")(sequence)
    for i, width in enumerate(units, start=1):
        x = layers.Dense(width, activation="relu", name=f"dense{i}")(x)
    return keras.Model(sequence, layers.Dense(features, name="values")(x), name="markov")


def latent(units=(32,), *, cell="gru", features=1):
    """Returns a recurrent regression: (batch, time, features) to the value after each, (batch, time, features).

    Args:
        units: width of each layer.
        cell: as for `kapps.layers.recurrent_stack.recurrent_layer`.
        features: of a value.
    """
    sequence = keras.Input((None, features), name="sequence")
    x = stack(sequence, tuple(units), cell=cell)
    return keras.Model(sequence, layers.Dense(features, name="values")(x), name="latent")


def windows(series, length):
    """Returns the stretches of `length` and what comes after each value of them: both float32 [m, length, features].

    What comes after the last value of each, [:, -1], is what `markov` predicts.

    Args:
        series: float [time] or [time, features], longer than `length`.
    """
    series = _columns(series)
    if not 1 <= length < len(series):
        raise ValueError(
            f"a series of {len(series)} values has no stretch of {length} and the next"
        )
    every = np.lib.stride_tricks.sliding_window_view(series, length + 1, axis=0)
    every = every.transpose(0, 2, 1)
    return every[:, :-1], every[:, 1:]


def least_squares(model, series):
    """Sets the weights of a linear `markov` to those of the least squared error on a series, which no training beats."""
    if len(model.layers) != 3:
        raise ValueError(f"{model.name} has hidden layers, so it is trained, not solved")
    x, y = windows(series, model.input.shape[1])
    x = x.reshape(len(x), -1).astype("float64")
    solved, *_ = np.linalg.lstsq(np.hstack([x, np.ones((len(x), 1))]), y[:, -1], rcond=None)
    model.get_layer("values").set_weights([solved[:-1], solved[-1]])


def ahead(model, series, steps):
    """Returns what a model predicts 1 to `steps` values ahead from each place, float32 [places, steps, features].

    Only the values up to the place are the series' own; those after it are the predictions before.

    Args:
        model: `markov` or `latent`, trained.
        series: float [time] or [time, features].
        steps: how far.

    Returns:
        Of the last time - tau + 1 places, tau being 1 for `latent`: row i, column j is of place tau - 1 + i, j + 1
        values after it, hence of series[tau + i + j].
    """
    series = _columns(series)
    tau = model.input.shape[1]
    if tau is None:
        return _latent_ahead(model, series, steps)
    if len(series) < tau:
        raise ValueError(f"a series of {len(series)} values is shorter than tau={tau}")
    seen = np.lib.stride_tricks.sliding_window_view(series, tau, axis=0).transpose(0, 2, 1)
    found = []
    for _ in range(steps):
        found.append(np.asarray(model.predict_on_batch(seen)))
        seen = np.concatenate([seen[:, 1:], found[-1][:, None]], axis=1)
    return np.stack(found, axis=1)


def _latent_ahead(model, series, steps):
    """The states of every place are those of one run over the series; from there all places go on beside each other."""
    one = step_models.step_model(model)
    states, outputs = step_models.initial_states(one, 1), []
    for value in series:
        taken = one.predict_on_batch({"sequence": value[None, None], **states})
        states = {name: taken[name] for name in states}
        outputs.append(taken)
    every = {
        name: np.concatenate([np.asarray(taken[name]) for taken in outputs]) for name in outputs[0]
    }
    found = [every.pop("values")]
    for _ in range(steps - 1):
        every = one.predict_on_batch({"sequence": found[-1], **every})
        found.append(np.asarray(every.pop("values")))
    return np.concatenate(found, axis=1)


def errors(predicted, series, steps):
    """Returns the root mean squared error k values ahead, {k: float}, over the same values for each k.

    Args:
        predicted: what `ahead` returned for the series, or for any that ends with it.
        series: the values that are to be met, float [time] or [time, features].
        steps: the ks.
    """
    series = _columns(series)
    if max(steps) > predicted.shape[1] or len(predicted) < len(series) + max(steps):
        raise ValueError(
            f"{len(predicted)} places predicted {predicted.shape[1]} ahead do not meet {len(series)} values "
            f"{max(steps)} ahead"
        )
    found = {}
    for k in steps:
        # The place from which the last value is k ahead is the last one but k.
        at = predicted[len(predicted) - len(series) - k : len(predicted) - k, k - 1]
        found[k] = float(np.sqrt(np.mean((at - series) ** 2)))
    return found


def _columns(series):
    series = np.asarray(series, "float32")
    return series[:, None] if series.ndim == 1 else series

"""Forecasts a time series one and several steps ahead with a linear autoregression of order tau and an RNN.

    python recipes/autoregression.py
    python recipes/autoregression.py --series=monthly-sunspots.csv --tau=12
    python recipes/autoregression.py --series=airline-passengers.csv --tau=12 --steps=1 --steps=12

Without --series the recipe uses the series of https://d2l.ai/chapter_recurrent-neural-networks/sequence.html: 1,000
values of sin(0.01 t) plus noise with standard deviation 0.2, the first 600 of them for training, tau = 4. The values
of a file are those of its last column, or of --column; the recipe recognises the delimiter, decimal commas and a
header row, and prints what it recognised. It prints the root mean squared errors k steps ahead on the other values
(the same values for all k), next to two baselines: the training mean and the last value. It writes `predictions.png`
to --model_dir.
"""

import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from absl import flags
from common import (
    autoregression_models,
)

from kapps import training, visualize
from kapps.data import sequence

FLAGS = flags.FLAGS
training.define_path("series", None, "a CSV or text file [a sine with noise]", "file")
flags.DEFINE_string("column", None, "name or number of the column of --series [the last]")
flags.DEFINE_integer("tau", 4, "order of the linear autoregression", 1, 10**5)
flags.DEFINE_multi_integer(
    "steps", [1, 4, 16, 64], "steps ahead; repeat the flag for several", 1, 10**5
)
flags.DEFINE_float("train_fraction", 0.6, "fraction of the values for training", 0.1, 0.95)
flags.DEFINE_enum("cell", "gru", ["rnn", "gru", "lstm"], "cell of the RNN")
flags.DEFINE_integer("units", 32, "units of the RNN", 1, 8192)
flags.DEFINE_integer("epochs", 40, "training epochs of the RNN", 1, 10**6)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/autoregression", "output folder", "output")

WINDOW = 32  # length of the RNN's training sequences


def load():
    """Returns the series, float64 [time]."""
    if FLAGS.series is None:
        noise = np.random.default_rng(FLAGS.seed).normal(0, 0.2, 1000)
        return np.sin(0.01 * np.arange(1, 1001)) + noise
    series = sequence.read_value_series(FLAGS.series, FLAGS.column)
    print(series.description)
    return series.values


def main(_):
    training.set_seed(FLAGS.seed)
    size = training.recurrent_memory(32, WINDOW, (FLAGS.units,))
    training.require_memory(size, "lower --units")
    values, steps = load(), sorted(set(FLAGS.steps))
    train_size = int(FLAGS.train_fraction * len(values))
    test_size = len(values) - train_size
    if (
        min(steps) < 1
        or train_size < max(WINDOW + 1, FLAGS.tau + 1, max(steps) + FLAGS.tau)
        or not test_size
    ):
        raise ValueError(
            f"{len(values)} values ({train_size} for training) are too few for --tau={FLAGS.tau} and "
            f"--steps={max(steps)}; pass smaller --steps or --tau"
        )
    training.lock_directory(FLAGS.model_dir)
    mean, deviation = values[:train_size].mean(), values[:train_size].std()
    if not 1e-12 * abs(mean) < deviation < np.inf:
        raise ValueError(
            f"--series={FLAGS.series}: the {train_size} training values have the mean {mean:g} and the standard "
            f"deviation {deviation:g}; pass a series that varies and whose squares are finite"
        )
    scaled = (values - mean) / deviation

    # Models
    markov = autoregression_models.markov(FLAGS.tau)
    autoregression_models.fit_least_squares(markov, scaled[:train_size])
    latent = autoregression_models.latent((FLAGS.units,), cell=FLAGS.cell)
    x, y = autoregression_models.windows(scaled[:train_size], WINDOW)
    optimizer = keras.optimizers.Adam(0.005)
    latent.compile(optimizer, "mse")
    optimizer.build(latent.trainable_variables)  # or the first step is traced twice
    latent.fit(x, y, batch_size=32, epochs=FLAGS.epochs, verbose=0)
    models = {f"linear, tau = {FLAGS.tau}": markov, f"{FLAGS.cell}, {FLAGS.units} units": latent}
    predicted = {
        name: autoregression_models.forecast(model, scaled, max(steps))
        for name, model in models.items()
    }

    # Errors in the unit of the series
    rows = {
        name: {k: deviation * error for k, error in errors.items()}
        for name, errors in (
            (name, autoregression_models.forecast_errors(forecasts, scaled[train_size:], steps))
            for name, forecasts in predicted.items()
        )
    }
    rows["last value"] = {
        k: float(
            np.sqrt(np.mean((values[train_size:] - values[train_size - k : len(values) - k]) ** 2))
        )
        for k in steps
    }
    rows["training mean"] = dict.fromkeys(
        steps, float(np.sqrt(np.mean((values[train_size:] - mean) ** 2)))
    )
    print(f"{len(values)} values, errors on the last {test_size}")
    training.print_table(
        ("steps ahead", *map(str, steps)),
        *((name, *(f"{errors[k]:.4g}" for k in steps)) for name, errors in rows.items()),
    )

    # Plot
    panels = {}
    for name, forecasts in predicted.items():
        panels[name] = {"series": (range(len(values)), values)}
        for k in steps:
            times = np.arange(len(values) - len(forecasts) + k, len(values))
            predictions = forecasts[: len(forecasts) - k, k - 1, 0] * deviation + mean
            panels[name][f"{k} ahead"] = (times, predictions)
    path = pathlib.Path(FLAGS.model_dir, "predictions.png")
    visualize.plot_predictions(panels, path, "t", "value", test_start=train_size)
    print(path)


if __name__ == "__main__":
    training.run_main(main)

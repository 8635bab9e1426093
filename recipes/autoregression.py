"""Predicts a time series from its own past, one value ahead and many: linear regression of order tau, and an RNN.

    python recipes/autoregression.py
    python recipes/autoregression.py --series=monthly-sunspots.csv --tau=12
    python recipes/autoregression.py --series=airline-passengers.csv --tau=12 --steps=1 --steps=12

Without --series it is the series of https://d2l.ai/chapter_recurrent-neural-networks/sequence.html: 1,000 values of
sin(0.01 t) and noise of deviation 0.2; the first 600 are learned from, at tau = 4. A CSV file has its values in its
last column, below a line of names. Printed are root mean squared errors k values ahead on the rest, all ks on the same
values, beside those of saying the training mean and of saying the last value seen. It leaves `predictions.png` in
--model_dir.
"""

import csv
import pathlib

import keras
import numpy as np
from absl import flags
from common import (
    autoregression_models,
    environment,  # noqa: F401  # before TensorFlow
)

from kapps import training, visualize

FLAGS = flags.FLAGS
flags.DEFINE_string("series", None, "a CSV file; none for the sine with noise")
flags.DEFINE_integer("tau", 4, "how many values the linear regression sees", lower_bound=1)
flags.DEFINE_multi_integer("steps", [1, 4, 16, 64], "how far ahead; give it again for another")
flags.DEFINE_float("share", 0.6, "of the values that are learned from", 0.1, 0.95)
flags.DEFINE_enum("cell", "gru", ["rnn", "gru", "lstm"], "of the RNN")
flags.DEFINE_integer("units", 32, "of the RNN", lower_bound=1)
flags.DEFINE_integer("epochs", 40, "of the RNN's training", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of the noise, the weights and the order")
flags.DEFINE_string("model_dir", "runs/autoregression", "where the image goes")

STRETCH = 32  # values the RNN is trained on at once


def load():
    """Returns the series, float64 [time]."""
    if FLAGS.series is None:
        noise = np.random.default_rng(FLAGS.seed).normal(0, 0.2, 1000)
        return np.sin(0.01 * np.arange(1, 1001)) + noise
    if not pathlib.Path(FLAGS.series).is_file():
        raise ValueError(f"there is no file {FLAGS.series}")
    with open(FLAGS.series, newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    try:
        return np.array([float(row[-1]) for row in rows if row])
    except ValueError as error:
        raise ValueError(f"{FLAGS.series}: its last column is to be numbers: {error}") from None


def main(_):
    training.set_seed(FLAGS.seed)
    values, steps = load(), sorted(set(FLAGS.steps))
    began = int(FLAGS.share * len(values))
    rest = len(values) - began
    if (
        min(steps) < 1
        or began < max(STRETCH + 1, FLAGS.tau + 1, max(steps) + FLAGS.tau)
        or not rest
    ):
        raise ValueError(
            f"{len(values)} values, {began} of them to learn from, are too few for tau={FLAGS.tau} and "
            f"{max(steps)} ahead; give fewer --steps or a smaller --tau"
        )
    mean, deviation = values[:began].mean(), values[:began].std()
    scaled = (values - mean) / deviation

    # Two models
    markov = autoregression_models.markov(FLAGS.tau)
    autoregression_models.least_squares(markov, scaled[:began])
    latent = autoregression_models.latent((FLAGS.units,), cell=FLAGS.cell)
    x, y = autoregression_models.windows(scaled[:began], STRETCH)
    latent.compile(keras.optimizers.Adam(0.005), "mse")
    latent.fit(x, y, batch_size=32, epochs=FLAGS.epochs, verbose=0)
    models = {f"linear, tau = {FLAGS.tau}": markov, f"{FLAGS.cell}, {FLAGS.units} units": latent}
    predicted = {
        name: autoregression_models.ahead(model, scaled, max(steps))
        for name, model in models.items()
    }

    # Errors in the series' own unit
    rows = {
        name: {k: deviation * error for k, error in errors.items()}
        for name, errors in (
            (name, autoregression_models.errors(found, scaled[began:], steps))
            for name, found in predicted.items()
        )
    }
    rows["the last value"] = {
        k: float(np.sqrt(np.mean((values[began:] - values[began - k : len(values) - k]) ** 2)))
        for k in steps
    }
    rows["the training mean"] = dict.fromkeys(
        steps, float(np.sqrt(np.mean((values[began:] - mean) ** 2)))
    )
    print(f"{len(values)} values, errors on the last {rest}")
    training.table(
        ("values ahead", *map(str, steps)),
        *((name, *(f"{errors[k]:.4g}" for k in steps)) for name, errors in rows.items()),
    )

    # The image
    panels = {}
    for name, found in predicted.items():
        panels[name] = {"series": (range(len(values)), values)}
        for k in steps:
            places = np.arange(len(values) - len(found) + k, len(values))
            said = found[: len(found) - k, k - 1, 0] * deviation + mean
            panels[name][f"{k} ahead"] = (places, said)
    path = pathlib.Path(FLAGS.model_dir, "predictions.png")
    visualize.plot_predictions(panels, path, "t", "value", test_start=began)
    print(path)


if __name__ == "__main__":
    training.run_main(main)

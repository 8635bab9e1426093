"""How gradients fade and burst on their way back through time: RNN, LSTM and GRU, clipped or not, and regularised.

    python recipes/gradients.py                                    # the adding problem over 60 steps, on two cores
    python recipes/gradients.py --networks=rnn,rnn_clipped --gain=1.5 --length=100

The adding problem asks at the last step for what was seen long before. Drawn and tabled is the norm of dL/dh_t, by all
paths from step t to the loss, and of LSTM's dL/dc_t: before training and after. "_clipped" networks have gradients of a
norm up to --clip (Pascanu 2013, arXiv:1211.5063, section 3.2), "rnn_omega" Pascanu's regulariser besides (section 3.3,
`kapps.training.VanishingGradientModel`). "fades to" is the norm at the first step as a share of that at the last. A
training whose loss is no longer a number stops there. In --model_dir: the table, results.json, gradients.png.

Run log:
- no flags, two cores shared with other work, 40 to 90 seconds a network: the plain RNN bursts (a gradient of 340) and
  ends saturated, its gradient gone within two steps (loss 0.552, where 0.167 knows nothing); clipped it learns a little
  (0.165) and 34 % of the gradient reaches the first step, with Omega 1.8 % (0.176). Of LSTM's 3e-4 arrive, of GRU's
  1e-10, before training and after: what keeps the state begins at 0.73 in the one and at 0.5 in the other.
"""

import math
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import environment  # noqa: F401  # before TensorFlow
from common import results as _results

from kapps import tables, training, visualize
from kapps.data.sequence import adding_problem_dataset
from kapps.layers import recurrent_stack

NETWORKS = ("rnn", "rnn_clipped", "rnn_omega", "lstm", "lstm_clipped", "gru", "gru_clipped")

FLAGS = flags.FLAGS
flags.DEFINE_list("networks", list(NETWORKS), f"of {', '.join(NETWORKS)}")
flags.DEFINE_integer("units", 32, "of the network", lower_bound=1)
flags.DEFINE_integer("length", 60, "steps of a sequence", lower_bound=2)
flags.DEFINE_integer("steps", 1500, "of training", lower_bound=1)
flags.DEFINE_integer("batch_size", 32, "sequences a step", lower_bound=1)
flags.DEFINE_float("learning_rate", 0.05, "of plain gradient descent", lower_bound=0)
flags.DEFINE_float("clip", 1.0, "largest norm of a clipped gradient", lower_bound=1e-9)
flags.DEFINE_float("omega", 1.0, "weight of the regulariser", lower_bound=0)
flags.DEFINE_float(
    "gain", 1.3, "all singular values of the recurrent weights at first", lower_bound=0
)
flags.DEFINE_integer("seed", 0, "of the weights and all that is drawn")
flags.DEFINE_string("model_dir", "runs/gradients", "where everything goes")

SETTLING = ("units", "length", "steps", "batch_size", "learning_rate", "clip", "omega", "gain", "seed")  # fmt: skip
"""Flags that all lines of a table have in common."""
LOOKS = 30
"""Times in a training at which the whole gradient is measured."""
COLUMNS = (
    tables.Column("network", "network"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("loss", "loss (0.167 knows nothing)", ".4f"),
    tables.Column("before", "fades to", ".1e"),
    tables.Column("after", "after training", ".1e"),
    tables.Column("largest", "largest gradient", ".2g"),
    tables.Column("seconds", "seconds", ".0f"),
)


def through_time(model, x, y):
    """Returns the norms of dL/dh_t, and of LSTM's dL/dc_t, each a list over the steps; means over sequences."""
    cell, head = model.get_layer("layer1").cell, model.get_layer("predictions")
    with tf.GradientTape() as tape:
        states = [tf.identity(state) for state in cell.get_initial_state(len(x))]
        kept = []
        tape.watch(states)
        for t in range(x.shape[1]):
            _, states = cell(x[:, t], states)
            kept.append(states)
        loss = tf.reduce_sum(
            tf.square(head(states[0]) - y)
        )  # a sequence's loss has its own states alone
    found = tape.gradient(loss, kept)
    return [
        [float(tf.reduce_mean(tf.norm(step[i], axis=-1))) for step in found]
        for i in range(len(states))
    ]


@tf.function
def gradient_norm(model, x, y):
    """Returns the norm of the loss's gradient by all weights."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    return tf.linalg.global_norm(tape.gradient(loss, [w.value for w in model.trainable_weights]))


def build(name):
    """Returns a network, and what is trained: itself, or itself under the regulariser."""
    keras.utils.set_random_seed(FLAGS.seed)
    kind = name.partition("_")[0]
    x = keras.Input((FLAGS.length, 2), name="sequence")
    initializer = keras.initializers.Orthogonal(FLAGS.gain)
    layer = recurrent_stack.recurrent_layer(
        FLAGS.units, cell=kind, recurrent_initializer=initializer, name="layer1"
    )
    h = layer(x)
    model = keras.Model(x, keras.layers.Dense(1, name="predictions")(h[:, -1]), name=name)
    trained = model
    if name.endswith("omega"):
        trained = training.VanishingGradientModel(model, "layer1", weight=FLAGS.omega)
    clip = None if name == kind else FLAGS.clip
    optimizer = keras.optimizers.SGD(FLAGS.learning_rate, global_clipnorm=clip)
    trained.compile(optimizer, "mse", jit_compile=False)
    return model, trained


def train(name, test):
    """Trains one network; returns its line of the table."""
    model, trained = build(name)
    before, largest, took, done = through_time(model, *test), 0.0, 0.0, 0
    sequences = iter(adding_problem_dataset(FLAGS.length, FLAGS.batch_size, seed=FLAGS.seed))
    for look in range(LOOKS):
        largest = max(largest, float(gradient_norm(model, *test)))
        began = time.monotonic()
        while done < FLAGS.steps * (look + 1) // LOOKS:
            trained.train_on_batch(*next(sequences))
            done += 1
        took += time.monotonic() - began
        loss = float(tf.reduce_mean(tf.square(model(test[0]) - test[1])))
        if not math.isfinite(loss):
            break
    after = through_time(model, *test) if math.isfinite(loss) else None
    return {
        "network": name.upper().replace("_", ", ").replace("CLIPPED", "clipped").replace("OMEGA", "clipped, Omega"),
        "parameters": model.count_params(),
        "steps": done,
        "loss": loss if after else None,
        "before": share(before),
        "after": after and share(after),
        "largest": largest,
        "seconds": took,
        "norms": {"before": before, "after": after},
    }  # fmt: skip


def share(norms):
    """Returns the first step's norm of dL/dh, or where larger of dL/dc, as a share of the last's."""
    return max(each[0] / max(each[-1], 1e-30) for each in norms)


def draw(rows, path):
    """Draws the norms by step, a panel a network, before training in grey."""
    high = -(-len(rows) // 4)
    figure = visualize.new_figure(figsize=(12, 2.8 * high + 0.5))
    panels = figure.subplots(
        high, min(4, len(rows)), sharex=True, sharey=True, squeeze=False
    ).ravel()
    for panel, row in zip(panels, rows, strict=False):
        for when, colour in (("before", visualize.GREY), ("after", visualize.COLOURS[0])):
            for norms, style, state in zip(
                row["norms"][when] or [], ("-", "--"), "hc", strict=False
            ):
                steps = np.arange(1, len(norms) + 1)
                panel.semilogy(
                    steps, np.maximum(norms, 1e-12), style, color=colour, label=f"{state}, {when}"
                )
        panel.set_title(row["network"], fontsize=visualize.FONT_SIZE + 1)
        panel.legend(fontsize=visualize.FONT_SIZE - 1)
        panel.grid(alpha=0.25)
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    figure.supxlabel("step t", fontsize=visualize.FONT_SIZE + 1)
    figure.supylabel("norm of dL/dh, dL/dc at t", fontsize=visualize.FONT_SIZE + 1)
    visualize.save_figure(figure, path)


def main(_):
    for name in FLAGS.networks:
        if name not in NETWORKS:
            raise ValueError(f"--networks: {name!r} is none of {', '.join(NETWORKS)}")
    results = _results.Results(FLAGS.model_dir, {name: FLAGS[name].value for name in SETTLING})
    test = next(iter(adding_problem_dataset(FLAGS.length, 200, seed=FLAGS.seed + 1)))
    for name in FLAGS.networks:
        if name not in results.rows:
            results.add(name, train(name, test))
        row = results.rows[name]
        reached = "the loss is no number" if row["loss"] is None else f"loss {row['loss']:.4f}"
        print(
            f"{name}: {reached} after {row['steps']:,} steps, {row['seconds']:.0f} seconds",
            flush=True,
        )
    draw(list(results.rows.values()), pathlib.Path(FLAGS.model_dir, "gradients.png"))
    note = (
        f"Sums of two of {FLAGS.length} numbers; {FLAGS.units} units, gradient descent at {FLAGS.learning_rate:g} in "
        f"batches of {FLAGS.batch_size}, clipped at {FLAGS.clip:g}, Omega weighs {FLAGS.omega:g}; recurrent weights "
        f"begin orthogonal, times {FLAGS.gain:g}."
    )
    results.table("Gradients through time", COLUMNS, note, ["gradients.png"])


if __name__ == "__main__":
    training.run_main(main)

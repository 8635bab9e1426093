"""Measures vanishing and exploding gradients of RNN, LSTM and GRU, with clipping and with Pascanu's regulariser.

    python recipes/gradients.py                                    # the adding problem over 60 steps, on two cores
    python recipes/gradients.py --networks=rnn,rnn_clipped --gain=1.5 --length=100

In the adding problem the target depends on inputs many steps before the last. The recipe tabulates and plots the
norm of dL/dh_t over all paths from step t to the loss, and of dL/dc_t of LSTM, before and after training.
"_clipped" networks clip gradients to the norm --clip (Pascanu 2013, arXiv:1211.5063, section 3.2); "rnn_omega" also
has Pascanu's regulariser (section 3.3, `kapps.training.VanishingGradientModel`). "first / last step" is the norm at
the first step divided by the norm at the last. Training stops when the loss is not finite. The recipe writes to
--model_dir: the results table, results.json, gradients.png.

Run log:
- no flags, two cores that ran other jobs, 40 to 90 seconds per network: the gradient of the plain RNN explodes
  (norm 340) and the network saturates; its gradient vanishes within two steps (loss 0.552; the constant prediction
  has 0.167). With clipping it learns a little (0.165) and the first step gets 34 % of the gradient, with Omega 1.8
  % (0.176). The ratio is 3e-4 for LSTM and 1e-10 for GRU, before and after training: the gate that keeps the state
  starts at 0.73 in LSTM and at 0.5 in GRU.
"""

import math
import pathlib
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import results as _results

from kapps import tables, training, visualize
from kapps.data.sequence import adding_problem_dataset
from kapps.layers import recurrent_stack

NETWORKS = ("rnn", "rnn_clipped", "rnn_omega", "lstm", "lstm_clipped", "gru", "gru_clipped")

FLAGS = flags.FLAGS
flags.DEFINE_list("networks", list(NETWORKS), f"networks to train: {', '.join(NETWORKS)}")
flags.DEFINE_integer("units", 32, "units of the recurrent layer", 1, 8192)
flags.DEFINE_integer("length", 60, "time steps of a sequence", 2, 10**5)
flags.DEFINE_integer("steps", 1500, "training steps", 1, 10**9)
flags.DEFINE_integer("batch_size", 32, "sequences per training step", 1, 2**20)
training.define_positive("learning_rate", 0.05, "learning rate of SGD")
training.define_positive("clip", 1.0, "gradient norm that clipping allows", 1e6)
flags.DEFINE_float("omega", 1.0, "weight of the regulariser", 0, 1e6)
training.define_positive(
    "gain", 1.3, "singular values of the recurrent kernel at initialisation", 100
)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/gradients", "output folder", "output")

RUN_FLAGS = ("units", "length", "steps", "batch_size", "learning_rate", "clip", "omega", "gain", "seed")  # fmt: skip
"""Flags that are the same for all rows of a table."""
MEASUREMENTS = 30
"""How often training is interrupted to measure the norm of the whole gradient."""
COLUMNS = (
    tables.Column("network", "network"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("loss", "loss (constant: 0.167)", ".4f"),
    tables.Column("before", "first / last step", ".1e"),
    tables.Column("after", "after training", ".1e"),
    tables.Column("largest", "largest gradient norm", ".2g"),
    tables.Column("seconds", "seconds", ".0f"),
)


def gradient_norms_by_step(model, x, y):
    """Returns the norms of dL/dh_t, and of dL/dc_t for LSTM: a list over the steps each, averaged over sequences."""
    cell, head = model.get_layer("layer1").cell, model.get_layer("predictions")
    with tf.GradientTape() as tape:
        states = [tf.identity(state) for state in cell.get_initial_state(len(x))]
        states_by_step = []
        tape.watch(states)
        for t in range(x.shape[1]):
            _, states = cell(x[:, t], states)
            states_by_step.append(states)
        # The sum keeps the gradients of the sequences separate.
        loss = tf.reduce_sum(tf.square(head(states[0]) - y))
    gradients = tape.gradient(loss, states_by_step)
    return [
        [float(tf.reduce_mean(tf.norm(step[i], axis=-1))) for step in gradients]
        for i in range(len(states))
    ]


@tf.function
def gradient_norm(model, x, y):
    """Returns the norm of the gradient of the loss with respect to all weights."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    return tf.linalg.global_norm(tape.gradient(loss, [w.value for w in model.trainable_weights]))


def build(name):
    """Returns a network and the model to train: the network itself, or a wrapper with the regulariser."""
    keras.utils.set_random_seed(FLAGS.seed)
    cell = name.partition("_")[0]
    x = keras.Input((FLAGS.length, 2), name="sequence")
    initializer = keras.initializers.Orthogonal(FLAGS.gain)
    layer = recurrent_stack.recurrent_layer(
        FLAGS.units, cell=cell, recurrent_initializer=initializer, name="layer1"
    )
    h = layer(x)
    model = keras.Model(x, keras.layers.Dense(1, name="predictions")(h[:, -1]), name=name)
    trained = model
    if name.endswith("omega"):
        trained = training.VanishingGradientModel(model, "layer1", weight=FLAGS.omega)
    clip = None if name == cell else FLAGS.clip
    optimizer = keras.optimizers.SGD(FLAGS.learning_rate, global_clipnorm=clip)
    trained.compile(optimizer, "mse", jit_compile=False)
    optimizer.build(trained.trainable_variables)  # or the first step is traced twice
    return model, trained


def train(name, test):
    """Trains one network. Returns its row of the table."""
    model, trained = build(name)
    before, largest, seconds, steps = gradient_norms_by_step(model, *test), 0.0, 0.0, 0
    sequences = iter(adding_problem_dataset(FLAGS.length, FLAGS.batch_size, seed=FLAGS.seed))
    for i in range(MEASUREMENTS):
        largest = max(largest, float(gradient_norm(model, *test)))
        start = time.monotonic()
        while steps < FLAGS.steps * (i + 1) // MEASUREMENTS:
            trained.train_on_batch(*next(sequences))
            steps += 1
        seconds += time.monotonic() - start
        loss = float(tf.reduce_mean(tf.square(model(test[0]) - test[1])))
        if not math.isfinite(loss):
            break
    after = gradient_norms_by_step(model, *test) if math.isfinite(loss) else None
    return {
        "network": name.upper().replace("_", ", ").replace("CLIPPED", "clipped").replace("OMEGA", "clipped, Omega"),
        "parameters": model.count_params(),
        "steps": steps,
        "loss": loss if after else None,
        "before": first_to_last(before),
        "after": after and first_to_last(after),
        "largest": largest,
        "seconds": seconds,
        "norms": {"before": before, "after": after},
    }  # fmt: skip


def first_to_last(norms):
    """Returns the norm at the first step divided by the norm at the last, the larger of dL/dh and dL/dc."""
    return max(by_step[0] / max(by_step[-1], 1e-30) for by_step in norms)


def plot_norms(rows, path):
    """Plots the norms by step, one panel per network; before training in grey."""
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
    training.names_of_list("networks", NETWORKS)
    size = training.recurrent_memory(max(200, FLAGS.batch_size), FLAGS.length, (FLAGS.units,))
    training.require_memory(size, "lower --batch_size, --length or --units")
    results = _results.Results(FLAGS.model_dir, {name: FLAGS[name].value for name in RUN_FLAGS})
    test = next(iter(adding_problem_dataset(FLAGS.length, 200, seed=FLAGS.seed + 1)))
    for name in FLAGS.networks:
        if name not in results.rows:
            results.add(name, train(name, test))
        row = results.rows[name]
        result = "the loss is not finite" if row["loss"] is None else f"loss {row['loss']:.4f}"
        print(
            f"{name}: {result} after {row['steps']:,} steps, {row['seconds']:.0f} seconds",
            flush=True,
        )
    plot_norms(list(results.rows.values()), pathlib.Path(FLAGS.model_dir, "gradients.png"))
    note = (
        f"Adding problem over {FLAGS.length} steps; {FLAGS.units} units; SGD with learning rate "
        f"{FLAGS.learning_rate:g}, batches of {FLAGS.batch_size}, clipping at {FLAGS.clip:g}, weight of Omega "
        f"{FLAGS.omega:g}; orthogonal recurrent kernels times {FLAGS.gain:g}."
    )
    results.table("Gradients through time", COLUMNS, note, ["gradients.png"])


if __name__ == "__main__":
    training.run_main(main)

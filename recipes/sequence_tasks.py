"""TCN against LSTM, GRU and a plain RNN of as many parameters (Bai 2018, arXiv:1803.01271), where memory is wanted.

    python recipes/sequence_tasks.py --music=JSB_Chorales.mat --data=mnist.npz           # everything
    python recipes/sequence_tasks.py --tasks=adding --networks=tcn,lstm --length=600     # at the paper's length

Tasks: the adding problem, copy memory, pixels one by one in order and permuted, the next chord of chorales. The TCN is
the paper's of the task; the others are one layer, as wide as its parameters allow. All train by Adam at one rate, for
as many steps, with gradients clipped. What is finished is kept in results.json: the same command takes up the rest.

The paper trains for longer, at lengths of 600, 1000 and 784 steps; shorter defaults make the table in half an hour of
one core: docs/sequence_tasks.md. Beside each result stands the paper's Table 1, of its own lengths.
"""

import gc
import math
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import tensorflow as tf
from absl import flags
from common import results as _results
from common.memory_tasks import TASKS

from kapps import tables, training
from kapps.layers import recurrent_stack

FLAGS = flags.FLAGS
flags.DEFINE_list("tasks", None, f"of {', '.join(TASKS)} [all; music where --music is given]")
flags.DEFINE_list("networks", ["tcn", "lstm", "gru", "rnn"], "of tcn, lstm, gru, rnn")
flags.DEFINE_string("dataset", "digits", "of images: a TFDS name such as mnist, or digits")
flags.DEFINE_string("data", None, "of images: an .npz file, shards or class folders, instead")
flags.DEFINE_string("music", None, "JSB_Chorales.mat or Nottingham.mat")
flags.DEFINE_integer(
    "length", None, "steps of adding [200] and blanks of copy [100]", lower_bound=2
)
flags.DEFINE_integer("side", 14, "images' height and width; 28 has the paper's 784", lower_bound=1)
flags.DEFINE_integer("steps", None, "of training [by the task]", lower_bound=1)
flags.DEFINE_integer("batch_size", 32, "sequences a step", lower_bound=1)
flags.DEFINE_integer("test", 1000, "sequences or images to test on", lower_bound=1)
flags.DEFINE_float("learning_rate", 2e-3, "of Adam, at its height", lower_bound=0)
flags.DEFINE_float("clip", 1.0, "the gradient's largest norm", lower_bound=0)
flags.DEFINE_integer("seed", 0, "of the weights and all that is drawn")
flags.DEFINE_string("model_dir", "runs/sequence_tasks", "where table and curves go")

SETTLING = (
    "dataset", "data", "music", "length", "side", "steps", "batch_size", "test", "learning_rate", "clip", "seed",
)  # fmt: skip
"""Flags that all lines of a table have in common."""
PAPER = {  # Table 1
    "adding": {"lstm": 0.164, "gru": 5.3e-5, "rnn": 0.177, "tcn": 5.8e-5},
    "copy": {"lstm": 0.0204, "gru": 0.0197, "rnn": 0.0202, "tcn": 3.5e-5},
    "pixels": {"lstm": 87.2, "gru": 96.2, "rnn": 21.5, "tcn": 99.0},
    "permuted": {"lstm": 85.7, "gru": 87.3, "rnn": 25.3, "tcn": 97.2},
    "music": {"lstm": 8.45, "gru": 8.43, "rnn": 8.91, "tcn": 8.10},
}
SIZES = {"lstm": (4, 1), "gru": (3, 2), "rnn": (1, 1)}
"""How many matrices a recurrent layer has, and of each how many biases."""
POINTS = 10
"""Of a curve."""
COLUMNS = (
    tables.Column("task", "task"),
    tables.Column("network", "network"),
    tables.Column("units", "units", ",.0f"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("measure", "measure"),
    tables.Column("result", "result", ".4g"),
    tables.Column("nothing", "nothing learnt", ".4g"),
    tables.Column("paper", "paper", ".4g"),
)


def build(name, task):
    """Returns a network of at most the TCN's parameters, and its units."""
    big = task.builder(classifier_activation=task.activation)
    row = task.builder.builder.row
    if name == "tcn":
        return big, row["hidden"]
    gates, biases = SIZES[name]
    (_, _, features), outputs = big.input_shape, big.output_shape[-1]
    units = 1
    while gates * units * (features + units + biases) + (units + 1) * outputs <= big.count_params():
        units += 1
    units -= 1
    x = keras.Input((None, features), name="sequence")
    every_step = row.get("every_step", False)
    h = recurrent_stack.recurrent(x, units, cell=name, return_sequences=every_step, name="layer1")
    h = keras.layers.Dropout(row.get("dropout", 0.0), name="layer1_dropout")(h)
    y = keras.layers.Dense(outputs, activation=task.activation, name="predictions")(h)
    return keras.Model(x, y, name=name), units


def judged(model, task):
    """Returns the mean of what the task's judge says of the test's answers."""
    total = count = 0.0
    for x, y, *_ in task.test:
        found = task.judge(model.predict_on_batch(x), y.numpy())
        total, count = total + found.sum(), count + found.size
    return float(total / count)


def train(name, key, task):
    """Trains one network; returns its line of the table."""
    keras.utils.set_random_seed(FLAGS.seed)
    model, units = build(name, task)
    steps = FLAGS.steps or task.steps
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=FLAGS.clip or None)
    model.compile(optimizer, task.loss, jit_compile=False)
    parts, took, done, curve = min(POINTS, steps), 0.0, 0, [(0, judged(model, task))]
    batches = iter(task.train)
    for part in range(1, parts + 1):
        began, upto = time.monotonic(), steps * part // parts
        while done < upto:
            model.train_on_batch(*next(batches))
            done += 1
        took += time.monotonic() - began
        curve.append((done, judged(model, task)))
    if not math.isfinite(curve[-1][1]):
        raise ValueError(
            f"{key}_{name}: the result is {curve[-1][1]}; take a lower --learning_rate"
        )
    return {
        "task": task.title,
        "network": name.upper(),
        "units": units,
        "parameters": model.count_params(),
        "steps": steps,
        "seconds": took,
        "measure": task.measure,
        "result": curve[-1][1],
        "nothing": task.nothing,
        "paper": PAPER[key][name],
        "curve": curve,
    }


def main(_):
    tasks = FLAGS.tasks or [key for key in TASKS if key != "music" or FLAGS.music]
    for flag, given, allowed in (
        ("tasks", tasks, TASKS),
        ("networks", FLAGS.networks, PAPER["music"]),
    ):
        for each in given:
            if each not in allowed:
                raise ValueError(f"--{flag}: {each!r} is none of {', '.join(allowed)}")
    tf.get_logger().setLevel("ERROR")  # it warns that networks after the first are traced anew
    results = _results.Results(FLAGS.model_dir, {name: FLAGS[name].value for name in SETTLING})
    images = []
    for key in tasks:
        task = TASKS[key](FLAGS)
        for name in FLAGS.networks:
            line = f"{key}_{name}"
            if line not in results.rows:
                results.add(line, train(name, key, task))
                keras.backend.clear_session()
                gc.collect()
            row = results.rows[line]
            came = f"{row['result']:.4g} {row['measure']}"
            print(
                f"{line}: {came} after {row['steps']:,} steps, {row['seconds']:.0f} seconds",
                flush=True,
            )
        images.append(results.curves("curve", f"{key}.png", "steps", task.measure, f"{key}_"))
    note = (
        f"Batches of {FLAGS.batch_size}, Adam at {FLAGS.learning_rate:g} falling by half a cosine, gradients of a norm "
        f"up to {FLAGS.clip:g}. The paper's figures are of sums of 600 steps, copies over 1,000 blanks, 28x28 pixels."
    )
    results.table("What networks of as many parameters remember", COLUMNS, note, images)


if __name__ == "__main__":
    training.run_main(main)

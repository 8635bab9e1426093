"""Compares TCN with LSTM, GRU and a plain RNN of equal parameter counts on memory tasks (Bai 2018, arXiv:1803.01271).

    python recipes/sequence_tasks.py --music=JSB_Chorales.mat --data=mnist.npz           # all tasks
    python recipes/sequence_tasks.py --tasks=adding --networks=tcn,lstm --length=600     # at the paper's length

The tasks are the adding problem, copy memory, images as sequences of pixels (in order and permuted), and the next
chord of chorales. The TCN is the paper's for each task. The other networks have one recurrent layer, with as many
units as the TCN's parameter count allows. All networks train with Adam, the same learning rate and number of steps,
and clipped gradients. Finished networks are saved to results.json; the same command resumes an interrupted run.

The paper trains for longer, on sequences of 600, 1000 and 784 steps. The shorter defaults take half an hour of one
core (results: docs/sequence_tasks.md). The column "paper" has the results of the paper's Table 1 for its own
lengths.
"""

import gc

import common.environment  # noqa: F401  # before TensorFlow

import keras
import tensorflow as tf
from absl import flags
from common import results as _results
from common import task_training
from common.sequence_cases import TASKS, check_music, open_images, read_identity

from kapps import tables, training
from kapps.layers import recurrent_stack

FLAGS = flags.FLAGS
flags.DEFINE_list("tasks", None, f"tasks: {', '.join(TASKS)} [all; music if --music is set]")
flags.DEFINE_list("networks", ["tcn", "lstm", "gru", "rnn"], "networks: tcn, lstm, gru, rnn")
flags.DEFINE_string(
    "dataset", "digits", "images: a TFDS name such as mnist, or digits (part of kapps)"
)
training.define_path(
    "data", None, "images: an .npz file, TFRecord shards or class folders; replaces --dataset"
)
flags.DEFINE_string("labels", None, "CSV file of the labels of a folder or .zip of images")
training.define_path("music", None, "piano rolls: JSB_Chorales.mat or Nottingham.mat", "file")
flags.DEFINE_integer("length", None, "steps of adding [200] and blanks of copy [100]", 2, 10**5)
flags.DEFINE_integer(
    "side", 14, "height and width of the images; 28 gives the paper's 784 steps", 1, 256
)
flags.DEFINE_integer("steps", None, "training steps [set by the task]", 1, 10**9)
flags.DEFINE_integer("batch_size", 32, "sequences per training step", 1, 2**20)
flags.DEFINE_integer("test", 1000, "test sequences or images", 1, 10**6)
training.define_positive("learning_rate", 2e-3, "peak learning rate of Adam")
flags.DEFINE_float("clip", 1.0, "gradient norm of clipping; 0 does not clip", 0, 1e6)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/sequence_tasks", "output folder", "output")

RUN_FLAGS = (
    "dataset", "data", "labels", "music", "length", "side", "steps", "batch_size", "test",
    "learning_rate", "clip", "seed",
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
PAPER = {  # Table 1
    "adding": {"lstm": 0.164, "gru": 5.3e-5, "rnn": 0.177, "tcn": 5.8e-5},
    "copy": {"lstm": 0.0204, "gru": 0.0197, "rnn": 0.0202, "tcn": 3.5e-5},
    "pixels": {"lstm": 87.2, "gru": 96.2, "rnn": 21.5, "tcn": 99.0},
    "permuted": {"lstm": 85.7, "gru": 87.3, "rnn": 25.3, "tcn": 97.2},
    "music": {"lstm": 8.45, "gru": 8.43, "rnn": 8.91, "tcn": 8.10},
}
SIZES = {"lstm": (4, 1), "gru": (3, 2), "rnn": (1, 1)}
"""Number of weight matrices of a recurrent layer, and number of biases per matrix."""
IMAGE_TASKS, LENGTH_TASKS = ("pixels", "permuted"), ("adding", "copy")
"""Tasks that read images, and tasks whose length is --length."""
COLUMNS = (
    tables.Column("task", "task"),
    tables.Column("network", "network"),
    tables.Column("units", "units", ",.0f"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("measure", "measure"),
    tables.Column("result", "result", ".4g"),
    tables.Column("baseline", "baseline", ".4g"),
    tables.Column("paper", "paper", ".4g"),
)


def build(name, task):
    """Returns a network with at most the parameters of the TCN, and its units."""
    network = task.builder(classifier_activation=task.activation)
    row = task.builder.builder.row
    if name == "tcn":
        return network, row["hidden"]
    gates, biases = SIZES[name]
    (_, _, features), outputs = network.input_shape, network.output_shape[-1]
    units = 1
    while (
        gates * units * (features + units + biases) + (units + 1) * outputs
        <= network.count_params()
    ):
        units += 1
    units -= 1
    x = keras.Input((None, features), name="sequence")
    every_step = row.get("every_step", False)
    h = recurrent_stack.recurrent(x, units, cell=name, return_sequences=every_step, name="layer1")
    h = keras.layers.Dropout(row.get("dropout", 0.0), name="layer1_dropout")(h)
    y = keras.layers.Dense(outputs, activation=task.activation, name="predictions")(h)
    return keras.Model(x, y, name=name), units


def evaluate(model, task):
    """Returns the mean of the task's measure over the test predictions."""
    total = count = 0.0
    for x, y, *_ in task.test:
        values = task.evaluate(model.predict_on_batch(x), y.numpy())
        total, count = total + values.sum(), count + values.size
    return float(total / count)


def measure(model, task):
    """Returns the measure of the task, which takes the place of the loss, and its text."""
    result = evaluate(model, task)
    return {"loss": (result, f"{task.measure} {result:.4g}")}


def train(name, key, task):
    """Trains one network. Returns its row of the table."""
    keras.utils.set_random_seed(FLAGS.seed)
    model, units = build(name, task)
    steps = FLAGS.steps or task.steps
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=FLAGS.clip or None)
    model.compile(optimizer, task.loss, jit_compile=False)
    optimizer.build(model.trainable_variables)  # or the first step is traced twice
    curve, batches = [(0, evaluate(model, task))], iter(task.make_train())
    points, seconds = task_training.train(
        f"{key}_{name}", model, lambda: next(batches), lambda _: measure(model, task), steps
    )
    curve += [(step, values["loss"]) for step, values in points]
    return {
        "task": task.title,
        "network": name.upper(),
        "units": units,
        "parameters": model.count_params(),
        "steps": steps,
        "seconds": seconds,
        "measure": task.measure,
        "result": curve[-1][1],
        "baseline": task.baseline,
        "paper": PAPER[key][name],
        "curve": curve,
        "images": task.images,
    }


def main(_):
    tasks = (
        FLAGS.tasks
        if FLAGS.tasks is not None
        else [key for key in TASKS if key != "music" or FLAGS.music]
    )
    if FLAGS.tasks is not None:
        training.names_of_list("tasks", TASKS)
    training.names_of_list("networks", PAPER["music"])
    training.forbid_both("data", "dataset", "give the files or the name of the images")
    reads_images, has_length = ({*tasks} & set(names) for names in (IMAGE_TASKS, LENGTH_TASKS))
    for flag, needed, is_given in (
        ("music", "--tasks=music", "music" in tasks),
        ("length", "--tasks=adding or --tasks=copy", bool(has_length)),
        ("data", "--tasks=pixels or --tasks=permuted", bool(reads_images)),
        ("labels", "--data", bool(reads_images and FLAGS.data)),
        ("side", "--tasks=pixels or --tasks=permuted", bool(reads_images)),
    ):
        training.forbid_without(flag, needed, is_given)
    if reads_images:  # wrong data is an error before the first task is trained
        open_images(FLAGS)
    steps = max(FLAGS.length or 200, FLAGS.side**2 if reads_images else 0)
    size = training.recurrent_memory(max(FLAGS.batch_size, 32), steps, (32,))
    training.require_memory(size, "lower --batch_size or --length")
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    if "music" in tasks:
        check_music(FLAGS)
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    results = _results.Results(FLAGS.model_dir, identity, read_identity(FLAGS))
    plots = []
    for key in tasks:
        task = TASKS[key](FLAGS)
        for name in FLAGS.networks:
            run = f"{key}_{name}"
            if run not in results.rows:
                results.add(run, train(name, key, task))
                keras.backend.clear_session()
                gc.collect()
            row = results.rows[run]
            result = f"{row['result']:.4g} {row['measure']}"
            print(
                f"{run}: {result} after {row['steps']:,} steps, {row['seconds']:.0f} seconds",
                flush=True,
            )
        plots.append(results.curves("curve", f"{key}.png", "steps", task.measure, f"{key}_"))
    note = (
        f"Batches of {FLAGS.batch_size}; Adam with learning rate {FLAGS.learning_rate:g} and cosine decay; gradients "
        f"clipped to norm {FLAGS.clip:g}. The paper has sums over 600 steps, copies over 1,000 blanks, 28x28 pixels."
    )
    results.table("Memory of sequence models with equal parameter counts", COLUMNS, note, plots)


if __name__ == "__main__":
    training.run_main(main)

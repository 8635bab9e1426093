"""Trains pointer networks to sort numbers, to find convex hulls, and to find shortest tours.

    python recipes/pointer_tasks.py                                      # all tasks, on two cores
    python recipes/pointer_tasks.py --tasks=hulls --points=10 --steps=20000

The output at each step is one of the inputs, or the end (Vinyals 2015, arXiv:1506.03134). The data are generated, and
the answers are exact: convex hulls of Andrew's algorithm, shortest tours of dynamic programming.

- sorting: the indices of numbers in growing order.
- hulls: the corners of the convex hull, counter-clockwise from the one with the lowest index.
- tours: the shortest closed tour from the first point; decoding allows valid tours only.

The test has greedy decoding and beam search. Finished networks are saved to results.json; the same command resumes an
interrupted run. The images have the predicted polygons on the exact ones. Results: docs/pointer_tasks.md.
"""

import gc
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import pointer_cases, task_training
from common import results as _results

import kapps
from kapps import generation, tables, training, visualize
from kapps.data.sequence import planar_tasks

TASKS = pointer_cases.TASKS

FLAGS = flags.FLAGS
flags.DEFINE_list("tasks", list(TASKS), f"tasks: {', '.join(TASKS)}")
flags.DEFINE_integer("points", 5, "points or numbers of a set", 3, 2**10)
flags.DEFINE_integer("units", 128, "units of the network", 1, 8192)
flags.DEFINE_integer("steps", 4000, "training steps", 1, 10**9)
flags.DEFINE_integer("batch_size", 128, "sets per step", 1, 2**20)
flags.DEFINE_integer("examples", 50_000, "training sets", 1, 10**8)
flags.DEFINE_integer("test", 1000, "test sets", 1, 10**6)
flags.DEFINE_integer("beam", 4, "answers that beam search keeps", 2, 1024)
training.define_positive("learning_rate", 3e-3, "peak learning rate of Adam")
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/pointer_tasks", "output folder", "output")

RUN_FLAGS = (
    "points", "units", "steps", "batch_size", "examples", "test", "beam", "learning_rate", "seed"
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
COLUMNS = (
    tables.Column("task", "task"),
    tables.Column("decoding", "decoding"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("loss", "loss", ".3f"),
    tables.Column("measure", "measure"),
    tables.Column("result", "result", ",.4g"),
    tables.Column("chance", "chance", ".4g"),
    tables.Column("paper", "paper", ".4g"),
    tables.Column("detail", "detail"),
)


def make_batch(random, x, answers):
    chosen = random.integers(0, len(x), FLAGS.batch_size)
    return pointer_cases.teacher_forcing(x[chosen], answers[chosen])


def test_loss(model, test):
    """Returns the mean loss of the pointers of the test sets, and its text."""
    inputs, labels, weights = pointer_cases.teacher_forcing(*test)
    loss = model.evaluate(inputs, labels, sample_weight=weights, batch_size=500, verbose=0)
    loss /= float(weights.mean())
    return {"loss": (loss, f"loss {loss:.3f}")}


def train(key, task):
    """Trains the network of a task. Returns it, the test sets, and the row without the results of decoding."""
    keras.utils.set_random_seed(FLAGS.seed)
    random = np.random.default_rng([FLAGS.seed, 1])
    x, answers = task.make(random, FLAGS.examples, FLAGS.points)
    test = task.make(np.random.default_rng([FLAGS.seed, 2]), FLAGS.test, FLAGS.points)
    model = kapps.families.pointer_network(
        units=FLAGS.units, input_shape=(FLAGS.points, task.width), masking=False
    )
    loss = "sparse_categorical_crossentropy"
    task_training.compile_model(  # clipnorm: the paper's limit
        model, loss, FLAGS.learning_rate, FLAGS.steps, clipnorm=2.0
    )
    points, seconds = task_training.train(
        key, model, lambda: make_batch(random, x, answers), lambda _: test_loss(model, test), FLAGS.steps
    )  # fmt: skip
    curve = [(step, values["loss"]) for step, values in points]
    row = {
        "task": task.title, "parameters": model.count_params(), "steps": FLAGS.steps, "seconds": seconds,
        "loss": curve[-1][1], "measure": task.measure, "chance": float(task.chance(*test)), "paper": task.paper,
        "curve": curve,
    }  # fmt: skip
    return model, test, row


def decode(model, task, test, beam):
    """Returns the columns of one kind of decoding, and the first sets with their answers."""
    predicted = generation.point(model, test[0], beam=beam, tour=task.tour)
    result, detail = task.evaluate(*test, predicted)
    values = [array[: pointer_cases.PLOTTED].tolist() for array in (*test, predicted)]
    return {"result": float(result), "detail": detail, "values": values}


def plot(row, path):
    """Plots the answers of greedy decoding on the exact ones."""
    points, *answers = row["values"]
    exact, predicted = [[[i - 1 for i in answer if i] for answer in answers] for answers in answers]
    visualize.plot_pointers(points, predicted, path, expected=exact)


def check_flags():
    """Raises ValueError for sets that have no exact answer here, and for sizes that need more memory than there is."""
    training.names_of_list("tasks", TASKS)
    most = planar_tasks.MOST_CITIES
    if "tours" in FLAGS.tasks and FLAGS.points > most:
        raise ValueError(
            f"--points={FLAGS.points} is more than {most}, for which this recipe finds the shortest tour; pass a "
            "smaller number, or --tasks without tours"
        )
    size = training.recurrent_memory(FLAGS.batch_size, 2 * FLAGS.points, (FLAGS.units,))
    size += (
        4 * FLAGS.batch_size * FLAGS.points**2 * FLAGS.units + 32 * FLAGS.examples * FLAGS.points
    )
    if "tours" in FLAGS.tasks:
        size += 9 * FLAGS.examples * 2 ** (FLAGS.points - 1) * FLAGS.points
    training.require_memory(size, "lower --batch_size, --examples, --points or --units")


def main(_):
    check_flags()
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    results = _results.Results(FLAGS.model_dir, {name: FLAGS[name].value for name in RUN_FLAGS})
    files = []
    for key in FLAGS.tasks:
        task, greedy, beam = TASKS[key](FLAGS.points), f"{key}_greedy", f"{key}_beam{FLAGS.beam}"
        if not {greedy, beam} <= set(results.rows):
            model, test, row = train(key, task)
            for run, width in ((greedy, None), (beam, FLAGS.beam)):
                decoded = decode(model, task, test, width)
                name = "greedy" if width is None else f"beam {width}"
                results.add(run, row | {"decoding": name} | decoded)
            keras.backend.clear_session()
            gc.collect()
        for run in (greedy, beam):
            task_training.print_row(run, results.rows[run])
        if task.width == 2:
            files.append(f"{key}.png")
            plot(results.rows[greedy], pathlib.Path(FLAGS.model_dir, files[-1]))
    note = (
        "Chance is the most frequent answer, of tours a random order. The paper's networks have 1,000,000 training "
        "sets; that of hulls is trained on 5 to 50 points."
    )
    files.append(results.curves("curve", "curves.png", "steps", "loss"))
    results.table("Pointer networks", COLUMNS, note, files)


if __name__ == "__main__":
    training.run_main(main)

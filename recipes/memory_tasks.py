"""Trains networks with a memory on small tasks: copy, repeat copy, associative recall, questions about stories.

    python recipes/memory_tasks.py                                  # all tasks
    python recipes/memory_tasks.py --tasks=stories --data=tasks_1-20_v1-2/en

- copy, repeat_copy, recall: a neural Turing machine and an LSTM write bits that they have read (Graves 2014,
  arXiv:1410.5401, sections 4.1 to 4.3). The last column has sequences of twice the length.
- stories: memory networks answer where a person is (Sukhbaatar 2015, arXiv:1503.08895). The stories are task 1 of
  bAbI in the folder --data, 1,000 questions as in the paper, or generated ones with the same words and grammar.

For each task there are the curves of the loss, and an image: the weights of the read head over time, or of the
sentences in each hop. Finished networks are saved to results.json; the same command resumes an interrupted run.
Results: docs/memory_tasks.md.
"""

import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import memory_cases, task_training
from common import results as _results

from kapps import tables, training, visualize

TASKS = memory_cases.TASKS
MACHINES = ("copy", "repeat_copy", "recall")

FLAGS = flags.FLAGS
flags.DEFINE_list("tasks", list(TASKS), f"tasks: {', '.join(TASKS)}")
flags.DEFINE_integer("steps", None, "training steps [set by the task]", 1, 10**9)
flags.DEFINE_integer("batch_size", 32, "sequences per step", 1, 2**16)
flags.DEFINE_integer("test", 500, "test sequences or generated test questions", 10, 10**6)
training.define_positive("learning_rate", 4e-3, "peak learning rate of Adam")
flags.DEFINE_integer("bits", 4, "bits of a step", 1, 64)
flags.DEFINE_integer(
    "length", 10, "steps of the longest copy; recall has half as many items", 2, 200
)
flags.DEFINE_integer(
    "units", 64, "width of the machine's controller; the LSTM has twice as many", 1, 4096
)
flags.DEFINE_integer("rows", 32, "rows of the machine's memory", 2, 4096)
flags.DEFINE_integer("width", 12, "width of a row of the machine's memory", 1, 1024)
training.define_path(
    "data", None, "stories: folder of bAbI in place of generated stories", "folder"
)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/memory_tasks", "output folder", "output")

RUN_FLAGS = (
    "steps", "batch_size", "test", "learning_rate", "bits", "length", "units", "rows", "width", "data", "seed",
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
COLUMNS = (
    tables.Column("task", "task"),
    tables.Column("network", "network"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("loss", "loss", ".3f"),
    tables.Column("measure", "measure"),
    tables.Column("result", "result", ",.4g"),
    tables.Column("chance", "chance", ".4g"),
    tables.Column("paper", "paper", ".4g"),
    tables.Column("detail", "beyond the training"),
)


def last_loss(loss):
    """Returns the loss of the last training step, and its text."""
    return {"loss": (loss, f"loss {loss:.3f}")}


def train(run, task, name):
    """Trains the networks of a row one after the other. Returns the row of the table."""
    keras.utils.set_random_seed(FLAGS.seed)
    networks, total = task.networks[name](), FLAGS.steps or task.steps
    random, points, seconds, first, model = np.random.default_rng([FLAGS.seed, 1]), [], 0.0, 0, None
    for number, network in enumerate(networks, start=1):
        if model is not None:
            network.set_weights(model.get_weights())
        model, last = network, total * number // len(networks)
        task_training.compile_model(
            model, task.loss, FLAGS.learning_rate, max(1, last - first), clipnorm=10.0
        )
        more, time = task_training.train(
            run, model, lambda: task.make_batch(random, FLAGS.batch_size), last_loss, last, first
        )
        points, seconds, first = points + more, seconds + time, last
    result, detail = task.evaluate(model)
    image = task.image(model)
    if image is not None:
        image = [np.asarray(image[0]).tolist(), *image[1:]]
    return {
        "task": task.title, "network": name, "parameters": model.count_params(), "steps": total,
        "seconds": seconds, "loss": points[-1][1]["loss"], "measure": task.measure, "result": float(result),
        "chance": float(task.chance), "paper": task.paper.get(name), "detail": detail,
        "curve": [(step, values["loss"]) for step, values in points], "image": image,
    }  # fmt: skip


def check_flags():
    """Raises ValueError for flags without effect, data that are not there, and sizes that need too much memory."""
    training.names_of_list("tasks", TASKS)
    machines = any(task in FLAGS.tasks for task in MACHINES)
    for name in ("bits", "length", "units", "rows", "width"):
        training.forbid_without(name, f"--tasks={','.join(MACHINES)}", machines)
    training.forbid_without("data", "--tasks=stories", "stories" in FLAGS.tasks)
    if "stories" in FLAGS.tasks:  # wrong stories are an error before the first task is trained
        memory_cases.read_stories(FLAGS)
    if machines:  # the gradient keeps the memory of each step
        steps, batch = 8 * FLAGS.length + 10, max(FLAGS.batch_size, FLAGS.test)
        size = 32 * batch * steps * (FLAGS.rows * FLAGS.width + 8 * FLAGS.units)
        training.require_memory(size, "lower --batch_size, --test, --length, --rows or --width")


def main(_):
    check_flags()
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    results, files = _results.Results(FLAGS.model_dir, identity), []
    for key in FLAGS.tasks:
        task = TASKS[key](FLAGS)
        for name in task.networks:
            run = f"{key}_{name}".replace(",", "").replace(" ", "_")
            if run not in results.rows:
                results.add(run, train(run, task, name))
                keras.backend.clear_session()
            row = results.rows[run]
            task_training.print_row(run, row)
            if row["image"] is not None:
                weights, columns, rows = row["image"]
                files.append(f"weights_{run}.png")
                path = pathlib.Path(FLAGS.model_dir, files[-1])
                visualize.plot_attention({run: np.array(weights)}, columns, rows, path)
        files.append(results.curves("curve", f"{key}.png", "steps", "loss", f"{key}_"))
    note = (
        "Bits are those of a sequence of the longest length of the training. Chance guesses each bit, or one of the "
        "answers. The paper's figure is that of bAbI."
    )
    results.table("Small tasks of networks with a memory", COLUMNS, note, files)


if __name__ == "__main__":
    training.run_main(main)

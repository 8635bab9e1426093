"""Trains three kinds of adaptive attention networks on small tasks: pondering, hashed attention, learned spans.

    python recipes/attention_tasks.py                                    # all tasks, on two cores
    python recipes/attention_tasks.py --tasks=spans --text=book.txt --steps=3000

- parity: whether an odd number of the elements of a vector are 1. A plain recurrent layer computes one step, a fixed
  number of steps, or as many as adaptive computation time chooses (Graves 2016, arXiv:1603.08983, section 3.1).
- duplication: the second w of 0w0w, by a Reformer with hashed attention in 1, 2 or 4 rounds, and with full attention
  (Kitaev 2020, arXiv:2001.04451, section 5). Three rows have the memory of one training step on a long sequence, of a
  Transformer decoder and of a Reformer of ordinary and of reversible layers, with equal widths.
- spans: the next character of a text. Each attention head learns how many steps back it attends (Sukhbaatar 2019,
  arXiv:1905.07799), with and without a penalty. The text is --text, or the help topics of Python.

The losses that layers add, ponder cost and span penalty, have a column of their own. Finished networks are saved to
results.json; the same command resumes an interrupted run. Results: docs/attention_tasks.md.
"""

import concurrent.futures
import gc
import multiprocessing
import pathlib

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import attention_cases, task_training
from common import results as _results

from kapps import data, tables, training, visualize

TASKS = attention_cases.TASKS
TASK_FLAGS = {
    "parity": ("elements", "units", "most_steps", "ponder"),
    "duplication": ("word", "symbols", "chunk", "rounds", "memory_length"),
    "spans": ("text", "span", "span_loss"),
}

FLAGS = flags.FLAGS
flags.DEFINE_list("tasks", list(TASKS), f"tasks: {', '.join(TASKS)}")
flags.DEFINE_integer("steps", None, "training steps [set by the task]", 1, 10**9)
flags.DEFINE_integer("batch_size", None, "sequences per step [set by the task]", 1, 2**20)
flags.DEFINE_integer("test", 500, "test sequences", 1, 10**6)
training.define_positive("learning_rate", 3e-3, "peak learning rate of Adam")
flags.DEFINE_integer("elements", 8, "parity: elements of a vector", 1, 512)
flags.DEFINE_integer("units", 128, "parity: units of the recurrent layer", 1, 8192)
flags.DEFINE_integer("most_steps", 10, "parity: largest number of steps", 2, 100)
flags.DEFINE_list("ponder", ["0.001", "0.01"], "parity: weights of the ponder cost, 0 to 100")
flags.DEFINE_integer("word", 31, "duplication: symbols of w", 2, 2**16)
flags.DEFINE_integer("symbols", 16, "duplication: number of symbols", 2, 2**16)
flags.DEFINE_integer("chunk", 8, "duplication: steps of a chunk", 1, 2**16)
flags.DEFINE_list("rounds", ["1", "2", "4"], "duplication: hash rounds in training, 1 to 64")
flags.DEFINE_integer(
    "memory_length", 4096, "duplication: steps of the memory rows; 0 for none", 0, 2**17
)
training.define_path("text", None, "spans: text file in place of the help topics", "file")
flags.DEFINE_integer("span", 64, "spans: largest span, and characters of a sequence", 2, 2**14)
training.define_positive("span_loss", 2e-4, "spans: weight of the spans in the loss", 1e6)
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/attention_tasks", "output folder", "output")

RUN_FLAGS = (
    "steps", "batch_size", "test", "learning_rate", "elements", "units", "most_steps", "word", "symbols", "chunk",
    "memory_length", "text", "span", "span_loss", "seed",
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
COLUMNS = (
    tables.Column("task", "task"),
    tables.Column("network", "network"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("loss", "task's loss", ".3f"),
    tables.Column("added", "added loss", ".4f"),
    tables.Column("measure", "measure"),
    tables.Column("result", "result", ",.4g"),
    tables.Column("chance", "chance", ".4g"),
    tables.Column("paper", "paper", ".4g"),
    tables.Column("detail", "detail"),
)


def losses(model, test):
    """Returns the loss of the task on the test sequences and the loss that layers add in training, with their texts."""
    x, y, weights = test
    loss = model.evaluate(x, y, sample_weight=weights, batch_size=100, verbose=0)
    model(x[:100], training=True)
    share = 1.0 if weights is None else float(weights.mean())
    loss, added = loss / share, float(sum(model.losses))
    return {"loss": (loss, f"task's loss {loss:.3f}"), "added": (added, f"added loss {added:.4f}")}


def train(run, task, name):
    """Trains one network. Returns its row of the table."""
    keras.utils.set_random_seed(FLAGS.seed)
    model, steps = task.networks[name](), FLAGS.steps or task.steps
    task_training.compile_model(model, task.loss, FLAGS.learning_rate, steps, clipnorm=1.0)
    random, size = np.random.default_rng([FLAGS.seed, 1]), FLAGS.batch_size or task.batch_size
    points, seconds = task_training.train(
        run, model, lambda: task.make_batch(random, size), lambda _: losses(model, task.test), steps
    )
    result, detail, values = task.evaluate(name, model)
    last = points[-1][1]
    return {
        "task": task.title,
        "network": name,
        "parameters": model.count_params(),
        "steps": steps,
        "seconds": seconds,
        "loss": last["loss"],
        "added": last["added"] or None,
        "measure": task.measure,
        "result": float(result),
        "chance": float(task.chance),
        "paper": task.paper.get(name),
        "detail": detail,
        "curve": [(step, values["loss"]) for step, values in points],
        "values": values,
    }


def measure_memory(kind):
    """Returns the row of the memory of a training step: the peak of a process, less that of one with 64 steps."""
    context, measured = multiprocessing.get_context("spawn"), []
    for length in (64, FLAGS.memory_length):
        with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
            arguments = kind, length, FLAGS.symbols
            measured.append(pool.submit(attention_cases.step_memory, *arguments).result())
    parameters, seconds, memory = measured[1]
    memory -= measured[0][2]
    return dict.fromkeys(column.key for column in COLUMNS) | {
        "task": f"one sequence of {FLAGS.memory_length:,}", "network": kind, "parameters": parameters, "steps": 1,
        "seconds": seconds, "measure": "memory (MB)", "result": memory, "detail": "4 layers",
    }  # fmt: skip


def check_flags():
    """Raises ValueError for flags without effect, and for sizes that need more memory than there is."""
    training.names_of_list("tasks", TASKS)
    for task, names in TASK_FLAGS.items():
        for name in names:
            training.forbid_without(name, f"--tasks={task}", task in FLAGS.tasks)
    for flag, kind, least, most in (("ponder", float, 0, 100), ("rounds", int, 1, 64)):
        for value in FLAGS[flag].value:
            try:
                is_valid = least <= kind(value) <= most
            except ValueError:
                is_valid = False
            if not is_valid:
                raise ValueError(
                    f"--{flag}={','.join(FLAGS[flag].value)}: {value!r} is not a number from {least} to {most}"
                )
    if "spans" in FLAGS.tasks:  # a wrong text is an error before the first task is trained
        attention_cases.read_characters(FLAGS.text, FLAGS.span)
    batch, size = max(FLAGS.batch_size or 32, 100), 0
    if "parity" in FLAGS.tasks:
        size = training.recurrent_memory(batch, FLAGS.most_steps, (FLAGS.units,))
    if "duplication" in FLAGS.tasks:  # scores of 4 heads, and what their gradient keeps of them
        size = max(size, 64 * batch * (2 * FLAGS.word + 2) ** 2, 160 * FLAGS.memory_length**2)
    if "spans" in FLAGS.tasks:
        size = max(size, 3 * 64 * batch * FLAGS.span**2)
    training.require_memory(size, "lower --batch_size, --word, --memory_length, --span or --units")


def main(_):
    check_flags()
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    text = {"text": data.file_identity(FLAGS.text)} if FLAGS.text else None
    results = _results.Results(FLAGS.model_dir, identity, text)
    files = []
    for key in FLAGS.tasks:
        task = TASKS[key](FLAGS)
        runs = {name: f"{key}_{name}".replace(" ", "_") for name in task.networks}
        for name, run in runs.items():
            if run not in results.rows:
                results.add(run, train(run, task, name))
                keras.backend.clear_session()
                gc.collect()
            task_training.print_row(run, results.rows[run])
        files.append(results.curves("curve", f"{key}.png", "steps", "task's loss", f"{key}_"))
        for kind in ("full", "ordinary", "reversible") if key == "duplication" else ():
            run = f"memory_{kind}"
            if FLAGS.memory_length and run not in results.rows:
                results.add(run, measure_memory(kind))
                row = results.rows[run]
                print(f"{run}: {row['result']:,.0f} MB, {row['seconds']:.0f} seconds", flush=True)
        if key == "spans":
            for name, run in runs.items():
                files.append(f"learned_spans_{name}.png".replace(" ", "_"))
                path = pathlib.Path(FLAGS.model_dir, files[-1])
                visualize.plot_spans(results.rows[run]["values"], path)
    note = (
        "The added loss is the ponder cost or the span penalty, times its weight; the task's loss is without it. Chance"
        " is the best constant prediction. The paper's duplication has 511 symbols of 127, and 8 rounds in the test."
    )
    results.table("Small tasks of adaptive attention", COLUMNS, note, files)


if __name__ == "__main__":
    training.run_main(main)

"""Trains MultiModel on two tasks at once, images and texts, and on each of them only.

    python recipes/multi_task.py
    python recipes/multi_task.py --images=100 --steps=3000

- digits: the image of a handwritten digit to its name. The images are part of kapps.
- numbers: a number below 10,000 in digits to its English words.

One network has both tasks (Kaiser 2017, arXiv:1706.05137): a net for images, an embedding of tokens, and the encoder,
mixer and decoder of both, with convolutions, attention and mixtures of experts. The first token of a target is the
command of the task. A training step of both tasks has a batch of each, so that each task has as many examples as in
the network of this task only. A text is correct if all its words are.

The network is small by default. Finished networks are saved to results.json; the same command resumes an interrupted
run. Results: docs/multi_task.md.
"""

import functools
import gc

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import multi_task_cases, task_training
from common import results as _results

from kapps import families, tables, training
from kapps.attention import multimodel

TASKS = ("digits", "numbers")
NETWORKS = {"digits": ("digits",), "numbers": ("numbers",), "both": TASKS}
"""The tasks of each network."""

FLAGS = flags.FLAGS
flags.DEFINE_list("networks", list(NETWORKS), f"tasks of a network: {', '.join(NETWORKS)}")
flags.DEFINE_integer("images", None, "number of images to train on [all]", 1, 10**6)
flags.DEFINE_integer("steps", 600, "training steps", 1, 10**9)
flags.DEFINE_integer("batch_size", 32, "examples of each task per step", 1, 2**16)
flags.DEFINE_integer("d_model", 64, "width of the blocks, a multiple of 4", 4, 4096)
flags.DEFINE_integer("experts", 8, "experts of each mixture, 4 of them for each vector", 4, 1024)
flags.DEFINE_integer("hidden", 128, "hidden units of an expert", 1, 2**16)
flags.DEFINE_integer("encoder_blocks", 1, "convolution blocks of the encoder", 1, 24)
flags.DEFINE_integer("decoder_blocks", 1, "blocks of the decoder", 1, 24)
training.define_positive("learning_rate", 2e-3, "peak learning rate of Adam")
flags.DEFINE_integer("seed", 0, "random seed", lower_bound=0)
training.define_path("model_dir", "runs/multi_task", "output folder", "output")

RUN_FLAGS = (
    "images", "steps", "batch_size", "d_model", "experts", "hidden", "encoder_blocks", "decoder_blocks",
    "learning_rate", "seed",
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
IMAGE_WIDTHS = (16, 32)
"""Channels of the first ConvSteps of the net of images; one residual block follows."""
COLUMNS = (
    tables.Column("task", "task"),
    tables.Column("network", "trained on"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("examples", "examples", ",.0f"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("seconds", "seconds", ".0f"),
    tables.Column("loss", "loss", ".3f"),
    tables.Column("measure", "measure"),
    tables.Column("result", "result", ".1f"),
    tables.Column("chance", "chance", ".3g"),
)


def build(names):
    """Returns the network of some tasks; tasks have the same layers but for the net of images."""
    texts = families.multimodel(
        vocabulary=len(multi_task_cases.WORDS), d_model=FLAGS.d_model, heads=4, experts=FLAGS.experts, k=4,
        hidden=FLAGS.hidden, encoder_blocks=FLAGS.encoder_blocks, mixer_blocks=1, decoder_blocks=FLAGS.decoder_blocks,
    )  # fmt: skip
    networks = {"numbers": texts}
    if "digits" in names:
        networks["digits"] = multimodel.image_to_text(texts, (8, 8, 1), IMAGE_WIDTHS)
    return multi_task_cases.join([networks[name] for name in names])


def train(run, tasks):
    """Trains the network of some tasks. Returns {name of a task: its row of the table}."""
    keras.utils.set_random_seed(FLAGS.seed)
    model, names = build(list(tasks)), list(tasks)
    loss = ["sparse_categorical_crossentropy"] * len(tasks)
    task_training.compile_model(model, loss, FLAGS.learning_rate, FLAGS.steps, clipnorm=1.0)

    def measure(_):
        results = multi_task_cases.evaluate(model, list(tasks.values()))
        loss = sum(loss for loss, _ in results)
        values = {"loss": (loss, f"loss {loss:.3f}")}
        for name, (loss, accuracy) in zip(names, results, strict=True):
            values |= {
                f"{name}_loss": (loss, f"{name} {loss:.3f}"),
                name: (accuracy, f"{accuracy:.1f} %"),
            }
        return values

    random = np.random.default_rng([FLAGS.seed, 1])
    make_batch = functools.partial(
        multi_task_cases.sample_batch, list(tasks.values()), random, FLAGS.batch_size
    )
    points, seconds = task_training.train(run, model, make_batch, measure, FLAGS.steps)
    last = points[-1][1]
    return {
        name: {
            "task": task.title,
            "network": "both tasks" if len(tasks) > 1 else "this task",
            "parameters": model.count_params(),
            "examples": len(task.train[2]),
            "steps": FLAGS.steps,
            "seconds": seconds,
            "loss": last[f"{name}_loss"],
            "measure": "correct texts (%)",
            "result": last[name],
            "chance": task.chance,
            "curve": [(step, values[name]) for step, values in points],
        }
        for name, task in tasks.items()
    }


def check_flags():
    """Raises ValueError for names that are not networks, and for sizes that need more memory than there is."""
    training.names_of_list("networks", NETWORKS)
    if FLAGS.d_model % 4:
        raise ValueError(f"--d_model={FLAGS.d_model} is not a multiple of 4, the number of heads")
    blocks = FLAGS.encoder_blocks + 3 * FLAGS.decoder_blocks + 4
    block = 4 * FLAGS.d_model * (FLAGS.d_model + 10)
    weights = blocks * block + 4 * FLAGS.experts * FLAGS.d_model * FLAGS.hidden
    values = 12 * blocks * FLAGS.d_model + 4 * FLAGS.experts * FLAGS.hidden
    values *= 32 * max(FLAGS.batch_size, 100)
    training.require_memory(
        16 * weights + 4 * values, "lower --batch_size, --d_model, --experts or --hidden"
    )


def main(_):
    check_flags()
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    results = _results.Results(FLAGS.model_dir, identity)
    tasks = multi_task_cases.make_tasks(FLAGS.seed, FLAGS.images)
    for network in FLAGS.networks:
        runs = {
            name: f"{name}_{'both' if network == 'both' else 'single'}"
            for name in NETWORKS[network]
        }
        if not results.rows.keys() >= {*runs.values()}:
            rows = train(network, {name: tasks[name] for name in runs})
            for name, run in runs.items():
                results.add(run, rows[name])
            keras.backend.clear_session()
            gc.collect()
        for run in runs.values():
            row = results.rows[run]
            task_training.print_row(run, row | {"detail": f"loss {row['loss']:.3f}"})
    files = [
        results.curves("curve", f"{name}.png", "steps", "correct texts (%)", f"{name}_")
        for name in TASKS
        if any(run.startswith(name) for run in results.rows)
    ]
    note = (
        "A training step has one batch of each task. The loss is that of a word of the test. Chance is the most common "
        "name, or one of the numbers. A network of both tasks has the parameters of that of images."
    )
    results.table("MultiModel on one task and on two tasks", COLUMNS, note, files)


if __name__ == "__main__":
    training.run_main(main)

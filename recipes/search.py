"""Searches for the best cell of NAS-Bench-201 on small images: several methods with one budget of trained epochs.

    python recipes/search.py                                            # three methods on the digits of kapps
    python recipes/search.py --methods=random,most_parameters,evolution,darts,enas --budget=200
    python recipes/search.py --data=cifar10.zip --channels=3 --images=4000 --image_size=16 --filters=8 --epochs=4

The unit of the budget is an epoch of one small network on half of the training images. Methods by ask and tell train
budget / epochs cells, and see their accuracy on the other half; methods with shared weights train one network that
holds all cells, whose epoch counts as 1.9 for each pass. Two baselines should be in each comparison: random search, and
the cells with the most parameters. The best cell of each search is trained from scratch on all training images, with
several seeds, and tested once.

The recipe writes table.txt, table.csv, table.md, results.json, a plot of the best cell of each method (cells.png), of
all evaluated cells (evaluations.png), of skip connections by epoch (skips.png) and model.keras, the best network, to
--model_dir. The same command resumes an interrupted run after the last evaluation or epoch. With --storage, several
workers evaluate the cells of one search, each with a --model_dir of its own. Comparison on a published table, and
results: docs/search.md.
"""

import functools
import gc
import pathlib
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from common import cell_search, image_sources
from common import results as _results

from kapps import data, search, tables, training, visualize
from kapps._cell_strings import cell_genotype
from kapps._files import write_atomically
from kapps._names import nearest
from kapps.search import weight_sharing

FLAGS = flags.FLAGS
# fmt: off
flags.DEFINE_list("methods", ["random", "most_parameters", "evolution"], "names, separated by commas; or all")
flags.DEFINE_integer("budget", 24, "trained epochs of each search", 1, 10**9)
flags.DEFINE_integer("epochs", 2, "epochs of training of a cell", 1, 10**6)
flags.DEFINE_integer("seeds", 1, "searches of each method", 1, 1000)
flags.DEFINE_integer("final_epochs", None, "epochs of the best cells at the end [3 times --epochs]", 1, 10**6)
flags.DEFINE_integer("final_seeds", 1, "trainings of the best cells at the end", 1, 1000)
flags.DEFINE_string("dataset", "digits", "a TFDS name, or digits")
training.define_path("data", None, "class folders, a .zip of them, an .npz file, or shards")
flags.DEFINE_integer("images", 4000, "largest number of training images, half of them to validate", 2, 10**8)
flags.DEFINE_integer("test", 2000, "largest number of test images", 1, 10**8)
flags.DEFINE_integer("image_size", 8, "height and width", 8, 1024)
flags.DEFINE_integer("channels", 1, "3, or 1 for grey", 1, 3)
flags.DEFINE_integer("filters", 8, "channels of the first of three stages", 1, 1024)
flags.DEFINE_integer("depth", 1, "cells of a stage", 1, 100)
flags.DEFINE_integer("batch_size", 64, "images per step", 1, 2**20)
training.define_positive("learning_rate", 0.1, "first rate of the SGD that trains a cell")
training.define_positive("alpha_rate", None, "Adam's rate for architecture parameters [that of the paper]")
flags.DEFINE_float("cost_weight", 0.0, "factor of the expected cost in the loss of proxylessnas and snas", 0.0, 1e6)
flags.DEFINE_integer("seed", 0, "seed of the images' order and of the cells' weights", lower_bound=0)
flags.DEFINE_string("storage", None, "journal file or database URL that workers share; needs kapps[search]")
training.define_path("model_dir", "runs/search", "output folder", "output")
# fmt: on

RUN_FLAGS = (
    "budget", "epochs", "final_epochs", "final_seeds", "dataset", "data", "images", "test", "image_size", "channels",
    "filters", "depth", "batch_size", "learning_rate", "alpha_rate",
    "cost_weight", "seed",
)  # fmt: skip
"""Flags that are the same for all rows of a table."""
COLUMNS = (
    tables.Column("method", "method"),
    tables.Column("searches", "searches", ",.0f"),
    tables.Column("score", "validation (%)", ".1f"),
    tables.Column("test", "test (%)", ".2f"),
    tables.Column("deviation", "deviation", ".2f"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("functions", "different cells", ".0f"),
    tables.Column("cells", "cells"),
    tables.Column("seconds", "seconds", ".0f"),
)


def check_flags():
    """Returns the names of the methods, after a check of the flags."""
    training.forbid_both("data", "dataset", "give the files or the name of the images")
    every = [*search.methods.METHODS, *weight_sharing.METHODS]
    names = every if FLAGS.methods == ["all"] else FLAGS.methods
    for name in names:
        if name not in every:
            raise ValueError(
                f"--methods={','.join(FLAGS.methods)}: {name!r} is not one of {', '.join(every)}.{nearest(name, every)}"
            )
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"--methods={','.join(FLAGS.methods)}: give each method once")
    if FLAGS.budget < FLAGS.epochs:
        raise ValueError(
            f"--budget={FLAGS.budget} is less than --epochs={FLAGS.epochs} of one cell"
        )
    size = training.image_memory(FLAGS.images, FLAGS.image_size, FLAGS.image_size, FLAGS.channels)
    training.require_memory(size, "lower --images or --image_size")
    if FLAGS.final_epochs is None:
        FLAGS.final_epochs = 3 * FLAGS.epochs
    return names


def run_search(name, seed, trainer):
    """Runs one search, trains its cell from scratch, and returns its row."""
    start = time.monotonic()
    if name in weight_sharing.METHODS:
        cell, score, history = cell_search.search_by_sharing(
            name, seed, trainer, FLAGS.budget, FLAGS.model_dir, FLAGS.alpha_rate, FLAGS.cost_weight
        )
        evaluated, skips = [], [row["skips"] for row in history]
    else:
        cell, score, history = cell_search.search_by_trials(
            name, seed, trainer, FLAGS.budget // FLAGS.epochs, FLAGS.model_dir, FLAGS.storage
        )
        evaluated, skips = history, []
    model, accuracies = trainer.final(cell, FLAGS.final_epochs, FLAGS.final_seeds)
    path = pathlib.Path(FLAGS.model_dir, f"{name}_seed{seed}.keras")
    with write_atomically(path) as temporary:
        model.save(temporary)
    return {
        "method": name,
        "cell": cell,
        "score": score,
        "test": float(np.mean(accuracies)),
        "accuracies": accuracies,
        "parameters": trainer.space.cost(cell).parameters,
        "evaluated": evaluated,
        "skips": skips,
        "seconds": time.monotonic() - start,
    }


def summary(name, rows, space):
    """Returns the line of the table of a method, of the rows of its searches."""
    tests = [accuracy for row in rows for accuracy in row["accuracies"]]
    functions = {space.function(cell) for row in rows for cell, _ in row["evaluated"]}
    return {
        "method": name,
        "searches": len(rows),
        "score": np.mean([row["score"] for row in rows]),
        "test": np.mean(tests),
        "deviation": np.std(tests),
        "parameters": np.mean([row["parameters"] for row in rows]),
        "functions": len(functions),
        "cells": " ".join(row["cell"] for row in rows),
        "seconds": np.mean([row["seconds"] for row in rows]),
    }


def write_plots(results, names, space):
    """Writes the plots, and returns their names."""
    directory, rows = pathlib.Path(FLAGS.model_dir), results.rows
    best = {name: max(members(rows, name), key=lambda row: row["test"]) for name in names}
    titles = {
        f"{name}: {row['test']:.1f} %": cell_genotype(row["cell"]) for name, row in best.items()
    }
    visualize.plot_cells(dict(list(titles.items())[:4]), directory / "cells.png")
    points = {
        name: [(space.cost(cell).parameters, x) for row in members(rows, name) for cell, x in row["evaluated"]]
        for name in names
    }  # fmt: skip
    files = ["cells.png"]
    if any(points.values()):
        label = f"validation accuracy (%) after {FLAGS.epochs} epochs"
        visualize.plot_evaluations(points, directory / "evaluations.png", ylabel=label)
        files.append("evaluations.png")
    lines = {
        key: (range(1, len(row["skips"]) + 1), row["skips"])
        for key, row in rows.items()
        if row["skips"]
    }
    if lines:
        visualize.plot_lines(
            lines, directory / "skips.png", "epoch", "skip connections of 6", marker="o"
        )  # fmt: skip
        files.append("skips.png")
    return files


def members(rows, name):
    """Returns the rows of the searches of a method."""
    return [row for row in rows.values() if row["method"] == name]


def main(_):
    names = check_flags()
    tf.get_logger().setLevel("ERROR")  # it warns about retracing for each network after the first
    if FLAGS.data:
        FLAGS.dataset = ""
    train_source, test_source = image_sources.open_sources(FLAGS.dataset, FLAGS.data)
    identity = {name: FLAGS[name].value for name in RUN_FLAGS}
    results = _results.Results(
        FLAGS.model_dir, identity, data.images_identity(train_source, test_source)
    )
    read = functools.partial(
        cell_search.read_images, size=FLAGS.image_size, channels=FLAGS.channels, batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
    )  # fmt: skip
    with data.explain_errors(train_source, test_source):
        images, labels = read(train_source, count=FLAGS.images)
        test = read(test_source, count=FLAGS.test)
    half = len(labels) // 2
    if half < FLAGS.batch_size:
        raise ValueError(
            f"--batch_size={FLAGS.batch_size} is more than the {half} images of a half of the training images"
        )
    space = search.spaces.NASBench201(
        filters=FLAGS.filters, depth=FLAGS.depth, side=FLAGS.image_size, classes=len(train_source.class_names)
    )  # fmt: skip
    trainer = cell_search.Trainer(
        FLAGS.model_dir, space, (images[:half], labels[:half]), (images[half:], labels[half:]), test,
        epochs=FLAGS.epochs, batch_size=FLAGS.batch_size, learning_rate=FLAGS.learning_rate, seed=FLAGS.seed,
    )  # fmt: skip
    for name in names:
        for seed in range(FLAGS.seeds):
            key = f"{name}_seed{seed}"
            if key not in results.rows:
                results.add(key, run_search(name, seed, trainer))
                keras.backend.clear_session()
                gc.collect()
            row = results.rows[key]
            print(f"{key}: cell {row['cell']}, {row['test']:.2f} % of the test images", flush=True)
    files = write_plots(results, names, space)
    note = (
        f"{half:,} images to train on, {len(labels) - half:,} to validate, of {train_source.name.rpartition('/')[2]} "
        f"at {FLAGS.image_size}x{FLAGS.image_size}; a search has {FLAGS.budget} epochs of one network. Test: the "
        f"best cell after {FLAGS.final_epochs} epochs on all images, {FLAGS.final_seeds} training(s) a search; "
        f"deviation over trainings."
    )
    rows = [summary(name, members(results.rows, name), space) for name in names]
    results.table("Architecture search with one budget", COLUMNS, note, files, rows)


if __name__ == "__main__":
    training.run_main(main)

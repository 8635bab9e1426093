"""Trains MSDNet on CIFAR-10, and plots the accuracy of its exits against their cost, next to a ResNet of each cost.

    python recipes/anytime.py --data=cifar10.zip --seconds=60
    python recipes/anytime.py --dataset=cifar10 --model=msdnet_budget7_cifar --epochs=30

The network has a classifier after each of its blocks (Huang 2017, arXiv:1703.09844) and is trained by the sum of all
cross-entropies. Two ways to use it are compared with separate ResNets (arXiv:1512.03385, section 4.2):

- anytime: all images leave at the same exit, whichever is the last that was computed;
- budgeted: confident images leave early. The thresholds are fitted on held-out training images, so that the mean
  multiply-accumulates of an image are in a budget.

With a budget of --seconds, each ResNet trains for that time, and MSDNet, which replaces all of them, for the sum.

The recipe writes table.txt, table.csv, table.md, accuracy.png and results.json to --model_dir, a model.keras for each
network to a subdirectory, and to `exits` one .tflite file for each exit, which LiteRT runs one after the other. The
same command resumes an interrupted run: finished networks are not trained again.

Run log: docs/anytime.md.
"""

import functools
import gc
import math
import pathlib
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
import numpy as np
from absl import flags
from common import held_out, model_options, small_image_training, small_images
from common import results as _results

import kapps
from kapps import data, early_exit, export, tables, training, visualize
from kapps.analysis import exit_costs
from kapps.export.export_and_verify import to_pixels
from kapps.model_record import find_record

FLAGS = flags.FLAGS
small_images.define_flags(
    "cifar10", model="msdnet_budget5_cifar", channels=3, size=32, augmentation="cifar"
)
model_options.define_option_flag()
flags.DEFINE_float("held_out", 0.1, "fraction of the training images for thresholds", 0.01, 0.5)
flags.DEFINE_integer("budgets", 8, "number of budgets, from the first exit's cost", 1, 1000)
flags.DEFINE_integer("compared", 128, "test images on which the .tflite files run", 1, 10**6)
FLAGS.set_default("model_dir", "runs/anytime")

COLUMNS = (
    tables.Column("use", "use"),
    tables.Column("network", "network"),
    tables.Column("exit", "exit"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("macs", "MACs (M)", ",.1f", 1e6),
    tables.Column("budget", "budget (M)", ",.1f", 1e6),
    tables.Column("top1", "top 1 (%)", ".2f"),
)
RESNET = "resnet20_cifar"
"""The builder whose card the ResNets have."""


def resnet_options(costs, **arguments):
    """Returns {name: options of `kapps.families.resnet_cifar`} of the ResNet of about each cost.

    Below the cost of a ResNet with one block at each level, the network is narrower.
    """
    one, two = (kapps.profile(kapps.families.resnet_cifar(n=n, **arguments)).macs for n in (1, 2))
    options = {}
    for cost in costs:
        n = max(1, 1 + round((cost - one) / (two - one)))
        filters = 16 if cost >= one or n > 1 else max(2, 2 * round(8 * math.sqrt(cost / one)))
        name = f"resnet{6 * n + 2}" + (f"_w{filters}" if filters != 16 else "")
        options[name] = {"n": n, "filters": filters, "name": name}
    return options


def read_labels(dataset):
    """Returns the class number of each image of a dataset, int [n]."""
    return np.concatenate([labels.numpy().argmax(-1) for _, labels in dataset])


def measure_exits(model, validation, test):
    """Returns the accuracy of each exit, and those of budgets between the costs of the first and the last exit."""
    costs = exit_costs(model)
    scores, labels = model.predict(test, verbose=0), read_labels(test)
    validation_scores = model.predict(validation, verbose=0)
    anytime = [
        {"macs": cost, "top1": 100 * float(np.mean(x.argmax(-1) == labels))}
        for cost, x in zip(costs, scores, strict=True)
    ]
    budgets = []
    for budget in np.linspace(costs[0], costs[-1], FLAGS.budgets + 1)[1:]:
        policy = early_exit.fit_budget(validation_scores, costs, float(budget))
        classes, exits = policy.classify(scores)
        row = {
            "budget": float(budget),
            "macs": policy.mean_cost(scores),
            "validation_macs": policy.mean_cost(validation_scores),
            "top1": 100 * float(np.mean(classes == labels)),
            "images": np.bincount(exits, minlength=len(costs) + 1)[1:].tolist(),
            "thresholds": [str(x) for x in policy.thresholds],
        }
        budgets.append(row)
    return {"anytime": anytime, "budgeted": budgets}


def run_files(model, budgeted, images, directory):
    """Exports the exits, runs the files in LiteRT, and returns their largest difference from the model and latencies.

    The images leave at the thresholds of the budget in the middle.
    """
    export.tflite_exits(model, directory, verbose=0)
    exits = export.load_tflite_exits(directory)
    expected = model.predict(images, verbose=0)
    pixels = to_pixels(images, find_record(model).preprocessing)
    start = time.perf_counter()
    outputs = list(exits.predictions(pixels))
    whole = time.perf_counter() - start
    thresholds = [float(x) for x in budgeted[len(budgeted) // 2]["thresholds"]]
    start = time.perf_counter()
    _, numbers = exits.classify(pixels, thresholds)
    early = time.perf_counter() - start
    return {
        "difference": max(
            float(np.abs(a - b).max()) for a, b in zip(outputs, expected, strict=True)
        ),
        "milliseconds": 1000 * whole / len(images),
        "early_milliseconds": 1000 * early / len(images),
        "mean_exit": float(numbers.mean()),
        "images": len(images),
    }


def evaluate(name, sources, row):
    """Adds to the row of the trained network what its exits reach."""
    model = training.load_model(pathlib.Path(FLAGS.model_dir, name, "model.keras"))
    preprocessing = find_record(model).preprocessing
    options = {"classes": model.outputs[-1].shape[-1], "channels": FLAGS.channels}
    validation, test = (
        data.eval_dataset(source, preprocessing, FLAGS.batch_size, **options) for source in sources
    )
    row |= measure_exits(model, validation, test)
    images = data.take_images(test, FLAGS.compared)
    row["files"] = run_files(model, row["budgeted"], images, pathlib.Path(FLAGS.model_dir, "exits"))


def table_rows(rows):
    """Yields the rows of the table: exits, budgets, and ResNets."""
    empty = {"exit": None, "budget": None}
    for name, row in rows.items():
        common = {"network": name, "parameters": row["parameters"]}
        if "anytime" not in row:
            yield {**empty, **common, "use": "separate", "macs": row["macs"], "top1": row["top1"]}
            continue
        for number, point in enumerate(row["anytime"], start=1):
            yield {**empty, **common, **point, "use": "anytime", "exit": str(number)}
        for point in row["budgeted"]:
            counts = " ".join(map(str, point["images"]))
            yield {**empty, **common, **point, "use": "budgeted", "exit": counts}


def write_results(results, train_source, test_source):
    """Writes the table and the plot, and prints the table."""
    rows = list(table_rows(results.rows))
    names = {
        "separate": "separate ResNets",
        "anytime": f"{FLAGS.model}, anytime",
        "budgeted": f"{FLAGS.model}, budgeted",
    }
    lines = {}
    for use, name in names.items():
        points = sorted((row["macs"] / 1e6, row["top1"]) for row in rows if row["use"] == use)
        lines[name] = tuple(zip(*points, strict=True))
    visualize.plot_lines(
        lines, results.directory / "accuracy.png", "multiply-accumulates of an image (M)",
        f"top 1 (%) on {test_source.examples:,} test images", marker="o",
    )  # fmt: skip
    budget = f"{FLAGS.epochs} epochs" if FLAGS.epochs else f"{FLAGS.seconds:g} seconds a ResNet"
    title = f"Accuracy by cost on {train_source.name.rpartition('/')[2]} after {budget}"
    files = results.rows[FLAGS.model]["files"]
    note = (
        f"{train_source.examples:,} training images. Budgeted: numbers of test images that leave at each exit. The "
        f".tflite files of the exits differ from the model by at most {files['difference']:.1e} on {files['images']} "
        f"images; one image takes {files['milliseconds']:.1f} ms through all files, and "
        f"{files['early_milliseconds']:.1f} ms with the thresholds of the middle budget (mean exit "
        f"{files['mean_exit']:.2f})."
    )
    results.table(title, COLUMNS, note, ["accuracy.png"], rows)


def main(_):
    names = small_images.set_defaults()
    if len(names) > 1:
        raise ValueError(f"--model={FLAGS.model}: give one network with several exits")
    train_source, test_source = small_images.open_sources()
    train_source, validation_source = held_out.hold_out(train_source, FLAGS.held_out)
    classes = len(train_source.class_names)
    arguments = {
        "input_shape": (FLAGS.image_size, FLAGS.image_size, FLAGS.channels), "classes": classes,
    }  # fmt: skip
    options = model_options.read_options(FLAGS.model, FLAGS.option)
    network = functools.partial(model_options.build, FLAGS.model, options)
    resnets = resnet_options(exit_costs(network(**arguments)), **arguments)
    builders = {FLAGS.model: (FLAGS.model, network)} | {
        name: (RESNET, functools.partial(kapps.families.resnet_cifar, **row))
        for name, row in resnets.items()
    }
    identity = small_image_training.identity() | {
        "held_out": FLAGS.held_out,
        "option": FLAGS.option,
    }
    results = _results.Results(
        FLAGS.model_dir, identity, data.images_identity(train_source, test_source)
    )
    for name, (card_name, build) in builders.items():
        if name in results.rows:
            print(f"{name}: already finished")
            continue
        is_resnet = name in resnets
        seconds = None if FLAGS.epochs else FLAGS.seconds * (1 if is_resnet else len(resnets))
        with data.explain_errors(train_source, test_source):
            run, row = small_image_training.train(
                card_name, train_source, test_source, build=build, seconds=seconds
            )
            if not is_resnet:
                evaluate(name, (validation_source, test_source), row)
        results.add(name, row)
        if run:
            run.checkpoints.delete()
        print(f"{name}: top 1 {row['top1']:.2f} % after {row['steps']:,} steps", flush=True)
        keras.backend.clear_session()
        gc.collect()
    write_results(results, train_source, test_source)


if __name__ == "__main__":
    training.run_main(main)

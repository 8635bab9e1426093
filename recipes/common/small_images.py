"""What cifar10.py and fashion_mnist.py share: networks by name on small images, in a budget, and a table of them.

A network whose least input is larger than the images gets them enlarged, whole. All train by the "cosine" schedule,
those without batch norms at a tenth of its rate, as their papers do (0.01, arXiv:1409.1556). What is finished is kept
in results.json: the same command takes up the rest.
"""

import dataclasses
import functools
import gc
import pathlib
import signal
import sys
import time
import warnings

import keras
import tensorflow as tf
from absl import flags

import kapps
from common import environment  # noqa: F401  # before TensorFlow
from common import results as _results
from kapps import data, tables, training
from kapps._files import write_atomically

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # what is defined below belongs to the recipe: its --help, its run.json

SECONDS = 45
SEEN = 512
"""Test images behind each point of a curve by the clock; the last point's and the table's are all."""
RATE = 0.2
SETTLING = (
    "dataset", "data", "seconds", "epochs", "batch_size", "image_size", "channels", "augmentation", "learning_rate",
    "seed",
)  # fmt: skip
"""Flags that all lines of a table have in common."""
COLUMNS = (
    tables.Column("network", "network"),
    tables.Column("family", "family"),
    tables.Column("input", "input"),
    tables.Column("parameters", "parameters", ",.0f"),
    tables.Column("macs", "MACs (M)", ",.1f", 1e6),
    tables.Column("rate", "rate", "g"),
    tables.Column("steps", "steps", ",.0f"),
    tables.Column("epochs", "epochs", ".2f"),
    tables.Column("top1", "top 1 (%)", ".2f"),
    tables.Column("seconds", "seconds", ".0f"),
)


def define_flags(dataset: str, model: str, channels: int, side: int, augmentation: str) -> None:
    """Defines the recipe's flags, with what is its own as their defaults."""
    flags.DEFINE_string(
        "model", model, "builders, with commas between; or all, for the smallest of each family"
    )
    flags.DEFINE_string("dataset", dataset, "a TFDS name, fetched where it is asked for; or digits")
    flags.DEFINE_string("data", None, "class folders, a .zip of them, an .npz file, or shards")
    flags.DEFINE_float("seconds", None, f"of training, a network [{SECONDS}]", lower_bound=0)
    flags.DEFINE_float("minutes", None, "instead of --seconds", lower_bound=0)
    flags.DEFINE_integer("epochs", None, "instead of a time", lower_bound=1)
    flags.DEFINE_integer("batch_size", 64, "images a step", lower_bound=1)
    flags.DEFINE_integer(
        "image_size", side, "height and width, where a network takes it", lower_bound=1
    )
    flags.DEFINE_integer("channels", channels, "3, or 1 for grey")
    flags.DEFINE_enum(
        "augmentation", augmentation, list(data.AUGMENTATIONS), "of the training images"
    )
    flags.DEFINE_float(
        "learning_rate", None, f"for 256 images a step [{RATE}; without batch norms a tenth]"
    )
    flags.DEFINE_integer("seed", 0, "of the weights, the order of the images, and every draw")
    flags.DEFINE_integer("checkpoint_every", 500, "steps, of a training by epochs", lower_bound=1)
    flags.DEFINE_string("model_dir", f"runs/{dataset}", "where models, table and curves go")


def resolve() -> list[str]:
    """Returns the networks that are asked for, and settles the budget."""
    names = kapps.cards.smallest() if FLAGS.model == "all" else FLAGS.model.split(",")
    for name in names:
        kapps.cards.of_images(name)
    given = [flag for flag in ("seconds", "minutes", "epochs") if FLAGS[flag].value is not None]
    if len(given) > 1:
        raise ValueError(f"--{given[0]} and --{given[1]}: give one budget")
    if FLAGS.minutes is not None:
        FLAGS.seconds = 60 * FLAGS.minutes
    if not given:
        FLAGS.seconds = SECONDS
    return names


def sources() -> list[data.Source]:
    """Opens the images to train and to test on: what is asked for, what TFDS has prepared, or the digits."""
    if FLAGS.data:
        FLAGS.dataset = ""
    elif not FLAGS["dataset"].present and not data.is_tfds_prepared(FLAGS.dataset):
        print(
            f"There is no {FLAGS.dataset} on this machine, so this runs on the digits that ship with kapps;"
            f" --dataset={FLAGS.dataset} fetches it by TensorFlow Datasets, --data=FILE takes your own."
        )
        FLAGS.dataset = "digits"
    if FLAGS.dataset == "digits" and not FLAGS["augmentation"].present:
        FLAGS.augmentation = "shift"  # a digit has a left and a right
    return [data.open_source(FLAGS.dataset, FLAGS.data, split) for split in ("train", "validation")]


def write(results, train_source, test_source):
    """Writes the table and the curves, and prints the first."""
    budget = f"{FLAGS.epochs} epochs" if FLAGS.epochs else f"{FLAGS.seconds:g} seconds"
    name = train_source.name.rpartition("/")[2]
    title = f"What {budget} of training come to, on {name}"
    note = (
        f"{train_source.examples:,} images to train on, in batches of {FLAGS.batch_size}, augmentation "
        f"{FLAGS.augmentation}; top 1 on {test_source.examples:,} others. Parameters and multiply-accumulates are "
        f"those with {len(train_source.class_names)} classes and that input; the rate is for 256 images a step."
    )
    across = "epochs" if FLAGS.epochs else "seconds of training"
    curves = results.curves("curve", "curves.png", across, "top 1 (%) on test images")
    results.table(title, COLUMNS, note, [curves])


def train(name, train_source, test_source):
    """Trains one network and keeps it; returns its line of the table, and the `Run` where it was one."""
    keras.utils.set_random_seed(FLAGS.seed)
    card, classes = kapps.card(name), len(train_source.class_names)
    side = max(FLAGS.image_size, card.minimum)
    preprocessing = dataclasses.replace(card.preprocessing.at((side, side)), crop=1.0)
    model = getattr(kapps, name)(input_shape=(side, side, FLAGS.channels), classes=classes)
    norms = any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    rate = FLAGS.learning_rate or (RATE if norms else RATE / 10)
    schedule = dataclasses.replace(training.get_schedule("cosine"), learning_rate=rate)
    faults = data.SkippedImages()
    common = {"classes": classes, "channels": FLAGS.channels, "skipped": faults}
    images = functools.partial(
        data.train_dataset, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
        **data.AUGMENTATIONS[FLAGS.augmentation], **common,
    )  # fmt: skip
    test = data.eval_dataset(test_source, preprocessing, FLAGS.batch_size, **common)
    run = None
    if FLAGS.epochs:
        run, took = by_epochs(model, schedule, images, test, train_source, faults)
    else:
        mixed = data.eval_dataset(
            test_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed, **common
        )
        seen = mixed.take(-(-SEEN // FLAGS.batch_size)).cache()
        took = by_the_clock(model, schedule, images, test, seen)
    profile = kapps.profile(model)
    return run, {
        "network": name,
        "family": card.family,
        "input": "x".join(map(str, model.input_shape[1:])),
        "parameters": profile.trainable,
        "macs": profile.macs,
        "rate": rate,
        "epochs": took["steps"] * FLAGS.batch_size / train_source.examples,
        **took,
    }


def by_the_clock(model, schedule, images, test, seen):
    """Trains for --seconds, and keeps the model."""
    clock, rows = training.TimeBudget(FLAGS.seconds), []
    trained = training.compile_classifier(model, clock.make_optimizer(schedule, FLAGS.batch_size))
    directory = pathlib.Path(FLAGS.model_dir, model.name)
    # Keras says so of every evaluation whose length it cannot know, and images may be skipped.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    trained.fit(
        images(), epochs=clock.epochs, steps_per_epoch=training.UNBOUNDED_STEPS, shuffle=False,
        validation_data=seen, verbose=0,
        callbacks=[
            training.Throughput(FLAGS.batch_size), clock, training.Curves(directory, rows, write=False),
        ],
    )  # fmt: skip
    after = trained.evaluate(test, verbose=0, return_dict=True)
    with write_atomically(directory / "model.keras") as path:
        model.save(path)
    top1 = 100 * after["accuracy"]
    points = [(row["seconds"], 100 * row["val_accuracy"]) for row in rows[:-1]]
    return {
        "steps": clock.steps,
        "seconds": clock.elapsed,
        "top1": top1,
        "curve": [*points, (clock.elapsed, top1)],
    }


def by_epochs(model, schedule, images, test, source, faults):
    """Trains for --epochs, from where an earlier process was stopped, and keeps the model."""
    steps = data.steps_per_epoch(source, FLAGS.batch_size)
    optimizer = schedule.make_optimizer(FLAGS.batch_size, steps * FLAGS.epochs)
    trained = training.compile_classifier(model, optimizer)
    run = training.Run(
        pathlib.Path(FLAGS.model_dir, model.name), tf.distribute.get_strategy(), epochs=FLAGS.epochs,
        steps_per_epoch=steps, batch_size=FLAGS.batch_size, identity=identity(),
        checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    run.print_summary(model, source, f"augmentation {FLAGS.augmentation}")
    before, after = run.fit(trained, images, test, faults=faults)
    run.save(model)
    results = {"before": before, "after": after, "skipped_images": faults.names}
    training.write_run_record(run.directory / "run.json", training.get_flag_values(), results)
    rows = run.history
    points = [(row["epoch"], 100 * row["val_accuracy"]) for row in rows]
    rates = [row["examples_per_second"] for row in rows]
    return run, {
        "steps": steps * FLAGS.epochs,
        "seconds": sum(steps * FLAGS.batch_size / rate for rate in rates if rate),
        "top1": 100 * after["accuracy"],
        "curve": [(0, 100 * before["accuracy"]), *points],
    }


def identity():
    return {name: FLAGS[name].value for name in SETTLING}


def main(_):
    names = resolve()
    train_source, test_source = sources()
    data.steps_per_epoch(train_source, FLAGS.batch_size)  # refuses a batch that is too large
    results, failed = _results.Results(FLAGS.model_dir, identity()), []
    for name in names:
        if name in results.rows:
            print(f"{name}: finished before")
            continue
        began = time.monotonic()
        try:
            with data.explain_errors(train_source, test_source):
                run, row = train(name, train_source, test_source)
        except (ValueError, MemoryError, tf.errors.OpError, training.TrainingStopped) as error:
            if len(names) == 1 or getattr(error, "code", 1) == 128 + signal.SIGTERM:
                raise
            reason = str(error) or type(error).__name__
            failed.append(f"{name}: {reason.splitlines()[0]}")
            print(failed[-1], file=sys.stderr, flush=True)
            continue
        finally:
            keras.backend.clear_session()
            gc.collect()
        results.add(name, row)
        if run:
            run.checkpoints.delete()
        print(
            f"{name}: top 1 {row['top1']:.2f} % after {row['steps']:,} steps in {row['seconds']:.0f} seconds;"
            f" {time.monotonic() - began:.0f} seconds in all",
            flush=True,
        )
    if results.rows:
        write(results, train_source, test_source)
    if failed:
        raise ValueError("; ".join(failed))

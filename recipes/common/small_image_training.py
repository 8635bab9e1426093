"""Trains one network on small images within a budget of seconds or epochs, with the flags of `common.small_images`."""

import dataclasses
import functools
import pathlib
import warnings

import keras
import tensorflow as tf
from absl import flags

import kapps
from kapps import data, training
from kapps._files import write_atomically
from kapps.model_record import record_preprocessing

FLAGS = flags.FLAGS

VALIDATION_IMAGES = 512
"""Number of test images for each point of a curve by time; the last point and the table use all."""
LEARNING_RATE = 0.2
RUN_FLAGS = (
    "dataset", "data", "labels", "seconds", "epochs", "batch_size", "image_size", "channels", "augmentation",
    "learning_rate",
    "seed",
)  # fmt: skip
"""Flags that all rows of a table have in common."""


def identity():
    """Returns the values of `RUN_FLAGS`."""
    return {name: FLAGS[name].value for name in RUN_FLAGS}


def train(name, train_source, test_source, *, build=None, seconds=None):
    """Trains and saves one network; returns its `Run` (`None` for a budget of seconds) and its row of the table.

    Args:
        name: of the builder.
        train_source, test_source: the images.
        build: builder of another member of the family, `build(input_shape=..., classes=...)`.
        seconds: of training, in place of --seconds.
    """
    keras.utils.set_random_seed(FLAGS.seed)
    card, classes = kapps.card(name), len(train_source.class_names)
    size = max(FLAGS.image_size, card.minimum)
    preprocessing = dataclasses.replace(card.preprocessing.at((size, size)), crop=1.0)
    build = build or getattr(kapps, name)
    model = build(input_shape=(size, size, FLAGS.channels), classes=classes)
    record_preprocessing(model, preprocessing)
    schedule = choose_schedule(model)
    if FLAGS.learning_rate:
        schedule = dataclasses.replace(schedule, learning_rate=FLAGS.learning_rate)
    skipped = data.SkippedImages()
    options = {"classes": classes, "channels": FLAGS.channels, "skipped": skipped}
    train_dataset = functools.partial(
        data.train_dataset, train_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed,
        data_service=FLAGS.data_service, **data.AUGMENTATIONS[FLAGS.augmentation], **options,
    )  # fmt: skip
    test = data.eval_dataset(test_source, preprocessing, FLAGS.batch_size, **options)
    run = None
    if FLAGS.epochs:
        run, result = train_epochs(
            model, schedule, train_dataset, test, train_source, test_source, skipped
        )
    else:
        shuffled = data.eval_dataset(
            test_source, preprocessing, FLAGS.batch_size, seed=FLAGS.seed, **options
        )
        validation = shuffled.take(-(-VALIDATION_IMAGES // FLAGS.batch_size)).cache()
        result = train_seconds(model, schedule, train_dataset, test, validation, seconds)
    profile = kapps.profile(model)
    return run, {
        "images": skipped.record_images(),
        "network": model.name,
        "family": card.family,
        "input": "x".join(map(str, model.input_shape[1:])),
        "parameters": profile.trainable,
        "macs": profile.macs,
        "rate": schedule.learning_rate,
        "epochs": result["steps"] * FLAGS.batch_size / train_source.examples,
        **result,
    }


def choose_schedule(model):
    """Returns the schedule of a network: by its binary layers, else "cosine", by whether it has batch norms."""
    binary = [layer for layer in model.layers if isinstance(layer, kapps.layers.BinaryConv2D)]
    if binary:
        return training.get_schedule("xnor" if any(x.binary_input for x in binary) else "bwn")
    has_batch_norm = any(
        isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers
    )
    rate = LEARNING_RATE if has_batch_norm else LEARNING_RATE / 10
    return dataclasses.replace(training.get_schedule("cosine"), learning_rate=rate)


def train_seconds(model, schedule, train_dataset, test, validation, seconds=None):
    """Trains for a number of seconds, by default --seconds, saves the model, and returns its results."""
    budget, rows = training.TimeBudget(seconds or FLAGS.seconds), []
    trained = training.compile_classifier(model, budget.make_optimizer(schedule, FLAGS.batch_size))
    directory = pathlib.Path(FLAGS.model_dir, model.name)
    # Keras warns after every evaluation of a dataset of unknown length, and images may be skipped.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    trained.fit(
        train_dataset(), epochs=budget.epochs, steps_per_epoch=training.UNBOUNDED_STEPS, shuffle=False,
        validation_data=validation, verbose=0,
        callbacks=[
            training.Throughput(FLAGS.batch_size), budget, training.Curves(directory, rows, write=False),
        ],
    )  # fmt: skip
    after = trained.evaluate(test, verbose=0, return_dict=True)
    with write_atomically(directory / "model.keras") as path:
        model.save(path)
    top1 = 100 * after["accuracy"]
    points = [(row["seconds"], 100 * row["val_accuracy"]) for row in rows[:-1]]
    return {
        "steps": budget.steps,
        "seconds": budget.elapsed,
        "top1": top1,
        "curve": [*points, (budget.elapsed, top1)],
    }


def train_epochs(model, schedule, train_dataset, test, source, test_source, skipped):
    """Trains for --epochs or resumes the training, saves the model, and returns the `Run` and its results."""
    steps = data.steps_per_epoch(source, FLAGS.batch_size)
    optimizer = schedule.make_optimizer(FLAGS.batch_size, steps * FLAGS.epochs)
    training.schedule_drop_path(model, steps * FLAGS.epochs)
    trained = training.compile_classifier(model, optimizer)
    run = training.Run(
        pathlib.Path(FLAGS.model_dir, model.name), tf.distribute.get_strategy(), epochs=FLAGS.epochs,
        steps_per_epoch=steps, batch_size=FLAGS.batch_size, identity=identity(),
        data=data.images_identity(source, test_source), checkpoint_interval=FLAGS.checkpoint_every,
    )  # fmt: skip
    run.print_summary(model, source, f"augmentation {FLAGS.augmentation}")
    before, after = run.fit(trained, train_dataset, test, skipped=skipped)
    run.save(model)
    results = {
        "before": before, "after": after, "images": skipped.record_images(),
        "skipped_images": skipped.names,
    }  # fmt: skip
    training.write_run_record(run.directory / "run.json", training.get_flag_values(), results)
    points = [(row["epoch"], 100 * row["val_accuracy"]) for row in run.history]
    rates = [row["examples_per_second"] for row in run.history]
    return run, {
        "steps": steps * FLAGS.epochs,
        "seconds": sum(steps * FLAGS.batch_size / rate for rate in rates if rate),
        "top1": 100 * after["accuracy"],
        "curve": [(0, 100 * before["accuracy"]), *points],
    }

"""The tasks of sequence_tasks.py: data, targets and measures. A task is a function of the recipe's flags."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import kapps
from common import image_sources
from kapps import data
from kapps.data import sequence


@dataclasses.dataclass(frozen=True)
class Task:
    """A task on which networks are compared.

    Args:
        title: name of the task, with its length.
        measure: name of the measure.
        evaluate: function of predictions and targets that returns one value per prediction; the result is their mean.
        baseline: result of the best constant prediction.
        builder: builder of the paper's TCN.
        activation: activation of the output.
        loss: name of the Keras loss.
        make_train: function that returns an infinite dataset of training batches, the same for every network.
        test: dataset of test batches.
        steps: number of training steps.
        images: what was read of the images, and what was left out.
    """

    title: str
    measure: str
    evaluate: Callable
    baseline: float
    builder: Callable
    activation: str | None
    loss: str
    make_train: Callable
    test: tf.data.Dataset
    steps: int
    images: dict = dataclasses.field(default_factory=dict)


def squared_errors(predictions, targets):
    return np.square(predictions - targets)


def negative_log_likelihoods(predictions, targets):
    return -np.log(np.take_along_axis(predictions, targets[..., None], -1) + 1e-9)


def accuracies(predictions, targets):
    return 100.0 * (predictions.argmax(axis=-1) == targets)


def chord_losses(predictions, targets):
    """Returns the negative log likelihood of all keys at each step."""
    p = np.clip(predictions, 1e-7, 1 - 1e-7)
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(axis=-1)


def adding(options):
    length = options.length or 200
    make, seed = sequence.adding_problem_dataset, options.seed
    return Task(
        title=f"adding, {length} steps",
        measure="squared error",
        evaluate=squared_errors,
        baseline=1 / 6,
        builder=kapps.tcn_adding600,
        activation=None,
        loss="mse",
        make_train=lambda: make(length, options.batch_size, seed=seed),
        test=make(length, options.batch_size, seed=seed + 1, sequences=options.test).cache(),
        steps=1500,
    )


def copy(options):
    length = options.length or 100
    make, seed = sequence.copy_memory_dataset, options.seed
    return Task(
        title=f"copy, {length} blanks",
        measure="nats per step",
        evaluate=negative_log_likelihoods,
        baseline=10 * math.log(8) / (length + 20),
        builder=kapps.tcn_copy1000,
        activation="softmax",
        loss="sparse_categorical_crossentropy",
        make_train=lambda: make(length, options.batch_size, seed=seed),
        test=make(length, options.batch_size, seed=seed + 1, sequences=options.test).cache(),
        steps=1500,
    )


def open_images(options, verbose=False):
    """Returns the sources of the training and the test images that the flags name."""
    dataset = None if options.data else options.dataset
    return image_sources.open_sources(dataset, options.data, options.labels, verbose=verbose)


def pixels(options, order=None):
    train_source, test_source = open_images(options, verbose=True)
    skipped = data.SkippedImages()
    images, labels = sequence.read_grey_images(train_source, options.side, skipped=skipped)
    test_images, test_labels = sequence.read_grey_images(
        test_source, options.side, options.test, skipped
    )
    print(skipped.summary(), flush=True)
    batch_size, order_options = (
        options.batch_size,
        {"permutation_seed": order, "seed": options.seed},
    )
    return Task(
        title=f"{'pixels' if order is None else 'permuted pixels'}, {options.side}x{options.side}",
        measure="accuracy (%)",
        evaluate=accuracies,
        baseline=100 * np.bincount(test_labels).max() / len(test_labels),
        builder=kapps.tcn_mnist,
        activation="softmax",
        loss="sparse_categorical_crossentropy",
        make_train=lambda: sequence.pixel_dataset(
            images, labels, batch_size, shuffle=True, **order_options
        ).repeat(),
        test=sequence.pixel_dataset(test_images, test_labels, batch_size, **order_options),
        steps=1000,
        images=skipped.record_images(),
    )


def permuted(options):
    return pixels(options, order=options.seed)


def check_music(options):
    """Raises ValueError if the task music lacks its file."""
    if options.music is None:
        raise ValueError(
            "the task music needs --music=JSB_Chorales.mat or another .mat file of piano rolls"
        )


def read_identity(options):
    """Returns the identity of the data that the flags name: --data and --music."""
    identity = {}
    if options.data:
        identity = data.images_identity(*open_images(options))
    if options.music:
        identity["music"] = data.file_identity(options.music)
    return identity


def music(options):
    check_music(options)
    pieces = sequence.read_piano_rolls(options.music, "train")
    test_pieces = sequence.read_piano_rolls(options.music, "test")
    frequency = np.concatenate(pieces).mean(axis=0)  # of each key over the steps
    return Task(
        title="next chord",
        measure="nats per chord",
        evaluate=chord_losses,
        baseline=float(
            chord_losses(frequency, np.concatenate([piece[1:] for piece in test_pieces])).mean()
        ),
        builder=kapps.tcn_jsb,
        activation="sigmoid",
        loss="binary_crossentropy",
        make_train=lambda: sequence.piano_roll_dataset(
            pieces, options.batch_size, shuffle=True, seed=options.seed
        ).repeat(),
        test=sequence.piano_roll_dataset(test_pieces, 1),
        steps=400,
    )


TASKS = {"adding": adding, "copy": copy, "pixels": pixels, "permuted": permuted, "music": music}

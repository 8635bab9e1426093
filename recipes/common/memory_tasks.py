"""The tasks of sequence_tasks.py: what is trained on, what is asked for, and how answers are judged.

A task is a function of the recipe's flags.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kapps import data
from kapps.data import sequence
from kapps.recurrent import tcn


@dataclasses.dataclass(frozen=True)
class Task:
    """What networks are compared on.

    Args:
        title: what it is, with its length.
        measure: what the result is.
        judge: answers and targets to one number an answer; the result is their mean.
        nothing: the result of who learns nothing.
        builder: of the paper's TCN.
        activation: of the answers.
        loss: by Keras's name.
        train: batches without end.
        test: batches.
        steps: of training.
    """

    title: str
    measure: str
    judge: Callable
    nothing: float
    builder: Callable
    activation: str | None
    loss: str
    train: tf.data.Dataset
    test: tf.data.Dataset
    steps: int


def squares(answers, targets):
    return np.square(answers - targets)


def nats(answers, targets):
    return -np.log(np.take_along_axis(answers, targets[..., None], -1) + 1e-9)


def percent(answers, targets):
    return 100.0 * (answers.argmax(axis=-1) == targets)


def chords(answers, targets):
    """The negative log likelihood of all keys of a step."""
    p = np.clip(answers, 1e-7, 1 - 1e-7)
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(axis=-1)


def adding(asked):
    length = asked.length or 200
    make, seed = sequence.adding_problem_dataset, asked.seed
    return Task(
        title=f"adding, {length} steps",
        measure="squared error",
        judge=squares,
        nothing=1 / 6,
        builder=tcn.tcn_adding600,
        activation=None,
        loss="mse",
        train=make(length, asked.batch_size, seed=seed),
        test=make(length, asked.batch_size, seed=seed + 1, sequences=asked.test).cache(),
        steps=1500,
    )


def copy(asked):
    length = asked.length or 100
    make, seed = sequence.copy_memory_dataset, asked.seed
    return Task(
        title=f"copy, {length} blanks",
        measure="nats a step",
        judge=nats,
        nothing=10 * math.log(8) / (length + 20),
        builder=tcn.tcn_copy1000,
        activation="softmax",
        loss="sparse_categorical_crossentropy",
        train=make(length, asked.batch_size, seed=seed),
        test=make(length, asked.batch_size, seed=seed + 1, sequences=asked.test).cache(),
        steps=1500,
    )


def pixels(asked, order=None):
    where = (None if asked.data else asked.dataset, asked.data)
    source, other = (data.open_source(*where, split) for split in ("train", "validation"))
    images, labels = sequence.read_grey_images(source, asked.side)
    seen, right = sequence.read_grey_images(other, asked.side, asked.test)
    size, how = asked.batch_size, {"order": order, "seed": asked.seed}
    return Task(
        title=f"{'pixels' if order is None else 'permuted pixels'}, {asked.side}x{asked.side}",
        measure="right (%)",
        judge=percent,
        nothing=100 * np.bincount(right).max() / len(right),
        builder=tcn.tcn_mnist,
        activation="softmax",
        loss="sparse_categorical_crossentropy",
        train=sequence.pixel_dataset(images, labels, size, shuffle=True, **how).repeat(),
        test=sequence.pixel_dataset(seen, right, size, **how),
        steps=1000,
    )


def permuted(asked):
    return pixels(asked, order=asked.seed)


def music(asked):
    if asked.music is None:
        raise ValueError(
            "music needs --music=JSB_Chorales.mat, or another .mat file of piano rolls"
        )
    pieces = sequence.read_piano_rolls(asked.music, "train")
    others = sequence.read_piano_rolls(asked.music, "test")
    share = np.concatenate(pieces).mean(axis=0)  # of the steps at which a key is struck
    return Task(
        title="next chord",
        measure="nats a chord",
        judge=chords,
        nothing=float(chords(share, np.concatenate([piece[1:] for piece in others])).mean()),
        builder=tcn.tcn_jsb,
        activation="sigmoid",
        loss="binary_crossentropy",
        train=sequence.piano_roll_dataset(
            pieces, asked.batch_size, shuffle=True, seed=asked.seed
        ).repeat(),
        test=sequence.piano_roll_dataset(others, 1),
        steps=400,
    )


TASKS = {"adding": adding, "copy": copy, "pixels": pixels, "permuted": permuted, "music": music}

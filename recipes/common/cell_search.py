"""The searches of search.py: images as arrays, training a cell, methods by ask and tell, and shared weights."""

import functools
import json
import pathlib

import keras
import numpy as np

from kapps import data, search
from kapps._files import write_atomically
from kapps.preprocessing import Preprocessing
from kapps.search import weight_sharing, workers
from kapps.search.supernet import supernet

SUPERNET_EPOCH = 1.9
"""Trained epochs of one network that an epoch of a supernet counts as: its computations next to the 3x3 cell's."""
PASSES = {
    "darts": 2,
    "darts_second": 5,
    "snas": 2,
    "proxylessnas": 2,
    "enas": 4 / 3,
    "paths": 4 / 3,
}
"""Passes over the training half in an epoch. A forward pass counts as a third; SNAS trains on all images."""


def read_images(source, size, channels, count, batch_size, seed):
    """Returns at most `count` images, float32 (number, size, size, channels), and int labels, in random order."""
    preprocessing = Preprocessing(size=(size, size), crop=1.0, mean=(0.5,), std=(0.25,))
    options = {"classes": len(source.class_names), "channels": channels}
    dataset = data.eval_dataset(source, preprocessing, batch_size, **options)
    batches = [(batch[0].numpy(), batch[1].numpy()) for batch in dataset]
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    if labels.ndim > 1:
        labels = labels.argmax(axis=-1)
    order = np.random.default_rng(seed).permutation(len(labels))[:count]
    return images[order], labels[order].astype("int64")


class Trainer:
    """Trains cells on small images, and caches their scores in `cells.json`: a cell has one score.

    Args:
        directory: of `cells.json`.
        space: the space, with the sizes of the networks.
        train, valid, test: images and labels.
        epochs, batch_size, learning_rate: of a training.
        seed: of the weights and of the order of the images; all cells have the same.
    """

    def __init__(
        self, directory, space, train, valid, test, *, epochs, batch_size, learning_rate, seed
    ):
        self.path, self.space = pathlib.Path(directory, "cells.json"), space
        self.train, self.valid, self.test = train, valid, test
        self.epochs, self.batch_size, self.learning_rate, self.seed = (
            epochs,
            batch_size,
            learning_rate,
            seed,
        )
        self.scores = {}
        if self.path.exists():
            try:
                self.scores = dict(json.loads(self.path.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{self.path} is incomplete ({error}): delete it") from None

    def fit(self, cell, train, valid, epochs, seed):
        """Returns a trained model and its accuracy in percent."""
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        model = self.space.build(cell, input_shape=train[0].shape[1:])
        steps = epochs * -(-len(train[1]) // self.batch_size)
        schedule = keras.optimizers.schedules.CosineDecay(self.learning_rate, steps)
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-4)
        metric = keras.metrics.SparseCategoricalAccuracy("accuracy")
        model.compile(
            optimizer, "sparse_categorical_crossentropy", metrics=[metric], jit_compile=False
        )
        if model.trainable_variables:
            optimizer.build(model.trainable_variables)  # or the first step is traced twice
            model.fit(*train, batch_size=self.batch_size, epochs=epochs, verbose=0)
        accuracy = model.evaluate(*valid, batch_size=self.batch_size, verbose=0)[1]
        return model, 100 * float(accuracy)

    def score(self, cell):
        """Returns the validation accuracy of a cell after `epochs` of training, from the cache if it is there."""
        if cell not in self.scores:
            _, self.scores[cell] = self.fit(cell, self.train, self.valid, self.epochs, self.seed)
            with write_atomically(self.path) as path:
                path.write_text(json.dumps(self.scores, indent=1) + "\n", encoding="utf-8")
        return self.scores[cell]

    def final(self, cell, epochs, seeds):
        """Returns the last model and the test accuracies of trainings on all training images, one for each seed."""
        train = tuple(np.concatenate(pair) for pair in zip(self.train, self.valid, strict=True))
        runs = [self.fit(cell, train, self.test, epochs, seed) for seed in range(seeds)]
        return runs[-1][0], [accuracy for _, accuracy in runs]


def search_by_trials(name, seed, trainer, evaluations, directory, storage=None):
    """Runs or resumes a method by ask and tell. Returns the best cell, its score and the history.

    The state is saved after each evaluation: a cell that was requested and has no score is evaluated first. With a
    storage, the trials of all workers are in it, and this is one of the workers.
    """
    method, key = search.methods.make(name, trainer.space, seed=seed), f"{name}_seed{seed}"
    path = None if storage else pathlib.Path(directory, f"{key}.json")
    if path and path.exists():
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is incomplete ({error}): delete it") from None
        method.set_state(state)
    report = functools.partial(save_and_print, path, seed, evaluations)
    method = workers.run(
        method, trainer.score, evaluations, storage=storage, name=key, report=report
    )
    return *method.best(), method.history


def save_and_print(path, seed, evaluations, method):
    """Writes the state of a method to a file, if any, and prints its last evaluation and the best one."""
    if path:
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(method.state()) + "\n", encoding="utf-8")
    (cell, last), (best, score) = method.history[-1], method.best()
    print(
        f"{method.name}, seed {seed}: {len(method.history)} of {evaluations}, {cell} {last:.1f} %, "
        f"best {best} {score:.1f} %",
        flush=True,
    )


def epochs_of(name, budget):
    """Returns the epochs of a search with shared weights for a budget of trained epochs."""
    return max(1, int(budget / (SUPERNET_EPOCH * PASSES[name])))


def search_by_sharing(name, seed, trainer, budget, directory, alpha_rate, cost_weight):
    """Runs or resumes a search with shared weights. Returns its cell, the cell's accuracy with them and the history."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    space, epochs = trainer.space, epochs_of(name, budget)
    network = supernet(
        filters=space.filters, depth=space.depth, input_shape=trainer.train[0].shape[1:], classes=space.classes
    )  # fmt: skip
    run = weight_sharing.WeightSharing(
        network,
        name,
        epochs=epochs,
        batch_size=trainer.batch_size,
        seed=seed,
        alpha_rate=alpha_rate,
        costs=space.operation_macs(),
        cost_weight=cost_weight,
    )
    path = pathlib.Path(directory, f"{name}_seed{seed}.npz")
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as arrays:
                run.set_state(arrays)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{path} is incomplete ({error}): delete it") from None
    while len(run.history) < epochs:
        row = run.train_epoch(trainer.train, trainer.valid)
        with write_atomically(path) as temporary:
            np.savez(temporary, **run.state())
        print(
            f"{name}, seed {seed}: epoch {row['epoch']} of {epochs}, loss {row['loss']:.3f}, cell {row['cell']}, "
            f"{row['skips']} skips, {row['accuracy']:.1f} % with shared weights",
            flush=True,
        )
    cell = run.cell(trainer.valid)
    return cell, run.accuracy(cell, *trainer.valid), run.history

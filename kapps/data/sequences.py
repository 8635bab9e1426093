"""Sequences that networks are compared on: sums, copies, pixels one by one, music.

[1] Bai 2018, arXiv:1803.01271, section 4, whose tasks, lengths and encodings these are
[2] Hochreiter 1997, Long short-term memory, whose adding problem it is
[3] Boulanger-Lewandowski 2012, arXiv:1206.6392, whose chorales and folk tunes they are

What is drawn depends on the seed and the sequence's number alone, not on the batch or the machine.
"""

import os
import zlib

import numpy as np
import tensorflow as tf

from kapps.data.decoding import byte, decode
from kapps.data.faults import DataError
from kapps.data.sources import Source

KEYS = 88
"""Of the piano."""


def drawn(make, batch_size: int, sequences: int | None = None) -> tf.data.Dataset:
    """Returns batches of `make(number)`, int64 [] to tensors, for numbers from 0.

    Args:
        make: a function of TensorFlow's operations.
        batch_size: sequences a batch.
        sequences: how many there are; None for no end, in whole batches.
    """
    numbers = tf.data.Dataset.counter() if sequences is None else tf.data.Dataset.range(sequences)
    made = numbers.map(make, tf.data.AUTOTUNE, deterministic=True)
    return made.batch(batch_size, drop_remainder=sequences is None).prefetch(tf.data.AUTOTUNE)


def adding_problem(
    steps: int, batch_size: int, *, sequences: int | None = None, seed: int = 0
) -> tf.data.Dataset:
    """Numbers in [0, 1), two of them marked: their sum is asked for [1, 2].

    Answering 1 always has a mean squared error of 1/6.

    Args:
        steps: of a sequence, 2 at least.
        batch_size: sequences a batch.
        sequences: how many there are; None for no end.
        seed: of all that is drawn.

    Returns:
        (float32 [batch, steps, 2], float32 [batch, 1]): number and mark, the sum.

    Raises:
        ValueError: for fewer than two steps.
    """
    if steps < 2:
        raise ValueError(f"the adding problem marks two of its steps; give 2 or more, not {steps}")

    def make(number):
        draws = tf.random.stateless_uniform([2, steps], [seed, number])
        marked = tf.math.top_k(draws[1], 2).indices
        marks = tf.reduce_sum(tf.one_hot(marked, steps), axis=0)
        return tf.stack([draws[0], marks], axis=-1), tf.reduce_sum(draws[0] * marks)[None]

    return drawn(make, batch_size, sequences)


def copy_memory(
    blanks: int, batch_size: int, *, sequences: int | None = None, seed: int = 0
) -> tf.data.Dataset:
    """Ten digits of 1 to 8, then blanks; after the first 9 the ten are asked for again [1].

    Inputs are the ten, `blanks` - 1 zeros and eleven nines; targets `blanks` + 10 zeros and the ten. Who remembers
    nothing has a cross-entropy of 10 ln 8 / (blanks + 20) a step.

    Args:
        blanks: the paper's T, 1 at least.
        batch_size: sequences a batch.
        sequences: how many there are; None for no end.
        seed: of all that is drawn.

    Returns:
        (float32 [batch, blanks + 20, 1], int32 [batch, blanks + 20]).

    Raises:
        ValueError: for no blanks.
    """
    if blanks < 1:
        raise ValueError(f"copy memory has 1 blank or more, not {blanks}")

    def make(number):
        ten = tf.random.stateless_uniform([10], [seed, number], 1, 9, tf.int32)
        given = tf.concat([ten, tf.zeros(blanks - 1, tf.int32), tf.fill([11], 9)], 0)
        asked = tf.concat([tf.zeros(blanks + 10, tf.int32), ten], 0)
        return tf.cast(given, tf.float32)[:, None], asked

    return drawn(make, batch_size, sequences)


def grey(source: Source, side: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels as arrays: uint8 [n, side, side], int64 [n].

    Args:
        source: grey or coloured images, of any size.
        side: height and width that they are brought to.
        most: how many are read, of the source's order; None for all.
    """

    def image(name, encoded, label):
        del name
        pixels = decode(encoded, 1)
        return byte(tf.image.resize(pixels, (side, side)))[..., 0], label

    found = source.images().take(most or -1).map(image, tf.data.AUTOTUNE)
    images, labels = zip(*found.batch(1024).as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def pixels(
    images: np.ndarray, labels: np.ndarray, batch_size: int, *, order: int | None = None,
    shuffle: bool = False, seed: int = 0,
) -> tf.data.Dataset:  # fmt: skip
    """Images as sequences of their pixels, row by row [1].

    Args:
        images: uint8 [n, height, width].
        labels: int [n].
        batch_size: sequences a batch.
        order: None for row by row; a number for the one permutation of all images' pixels that it settles ("permuted
            MNIST").
        shuffle: whether to draw a new order of the images each time, and to leave out a last batch that is smaller.
        seed: of the orders of the images.

    Returns:
        (float32 [batch, height * width, 1] in [0, 1], int32 [batch]).
    """
    flat = images.reshape(len(images), -1)
    if order is not None:
        flat = flat[:, np.random.default_rng(order).permutation(flat.shape[1])]
    found = tf.data.Dataset.from_tensor_slices((flat, np.asarray(labels, "int32")))
    if shuffle:
        found = found.shuffle(len(flat), seed=seed)
    found = found.batch(batch_size, drop_remainder=shuffle)
    found = found.map(lambda x, y: (tf.cast(x, tf.float32)[..., None] / 255, y), tf.data.AUTOTUNE)
    return found.prefetch(tf.data.AUTOTUNE)


def read_music(path: str | os.PathLike, split: str) -> list[np.ndarray]:
    """Returns the pieces of a .mat file of piano rolls [3], uint8 [steps, 88] each.

    Args:
        path: JSB_Chorales.mat or Nottingham.mat, as [1] published them.
        split: "train", "validation" or "test".

    Raises:
        DataError: for a file that is none, and where scipy, which reads it, is not installed.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:
        raise DataError(f"{path} needs scipy to be read: pip install scipy") from None
    key = {"train": "traindata", "validation": "validdata", "test": "testdata"}[split]
    try:
        pieces = [np.asarray(piece, "uint8") for piece in loadmat(path)[key][0]]
        rolls = all(piece.ndim == 2 and piece.shape[1] == KEYS for piece in pieces)
    except OSError:
        raise DataError(f"{path} cannot be opened: give a .mat file of piano rolls") from None
    except (
        MatReadError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        NotImplementedError,
        zlib.error,
    ):
        rolls = False
    if not rolls:
        raise DataError(
            f"{path} is no .mat file of piano rolls: kapps reads {key}, pieces of [steps, {KEYS}] keys"
        )
    return pieces


def music(
    pieces: list[np.ndarray], batch_size: int, *, shuffle: bool = False, seed: int = 0
) -> tf.data.Dataset:
    """Pieces, and of each step the keys of the next [1, 3].

    Args:
        pieces: [steps, keys] of zeros and ones, two steps at least.
        batch_size: pieces a batch; shorter ones are padded on the right, with weight 0.
        shuffle: whether to draw a new order of the pieces each time.
        seed: of these orders.

    Returns:
        (float32 [batch, steps, keys], float32 [batch, steps, keys], float32 [batch, steps]): keys, next keys, weights.
    """
    keys = pieces[0].shape[1]
    found = tf.data.Dataset.from_generator(
        lambda: iter(pieces), output_signature=tf.TensorSpec((None, keys), tf.uint8)
    )
    found = found.apply(tf.data.experimental.assert_cardinality(len(pieces)))
    if shuffle:
        found = found.shuffle(len(pieces), seed=seed)

    def pair(piece):
        piece = tf.cast(piece, tf.float32)
        return piece[:-1], piece[1:], tf.ones(tf.shape(piece)[0] - 1)

    return found.map(pair).padded_batch(batch_size).prefetch(tf.data.AUTOTUNE)

"""Polyphonic music as piano rolls.

[1] Bai 2018, arXiv:1803.01271, section 4
[3] Boulanger-Lewandowski 2012, arXiv:1206.6392
"""

import os
import zlib

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError

KEYS = 88
"""Number of keys of a piano."""


def read_piano_rolls(path: str | os.PathLike, split: str) -> list[np.ndarray]:
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


def piano_roll_dataset(
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

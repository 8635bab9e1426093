"""Polyphonic music as piano rolls: chorales by Bach and folk tunes of Nottingham.

[1] Bai 2018, arXiv:1803.01271, section 4
[2] Boulanger-Lewandowski 2012, arXiv:1206.6392, which introduced the datasets
"""

import os

import numpy as np
import tensorflow as tf

from kapps._checked import checked
from kapps._local_paths import local_path
from kapps.data.errors import DataError

KEYS = 88
"""Number of keys of a piano."""
_ARRAYS = {"train": "traindata", "validation": "validdata", "test": "testdata"}


@checked
def read_piano_rolls(path: str | os.PathLike, split: str) -> list[np.ndarray]:
    """Reads the pieces of a .mat file of piano rolls, such as JSB_Chorales.mat or Nottingham.mat of [1].

    Args:
        path: the file.
        split: "train", "validation" or "test".

    Returns:
        The pieces, uint8 [steps, 88] each: 1 for a key that sounds.

    Raises:
        DataError: the file cannot be read or holds something else, or scipy is not installed.
    """
    if split not in _ARRAYS:
        raise DataError(f"split {split!r}: choose one of {', '.join(_ARRAYS)}")
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(f"reading {path} needs scipy: pip install scipy") from None
    name, path = _ARRAYS[split], local_path(path)
    try:
        pieces = [np.asarray(piece) for piece in loadmat(path)[name][0]]
    except OSError:
        raise DataError(f"{path} cannot be opened: pass a .mat file of piano rolls") from None
    except Exception:  # scipy raises errors of many classes for a file of another format
        pieces = []
    if not pieces or any(piece.ndim != 2 or piece.shape[1] != KEYS for piece in pieces):
        raise DataError(
            f"{path} is not a .mat file of piano rolls: kapps reads {name}, pieces of [steps, {KEYS}]"
        )
    for number, piece in enumerate(pieces, start=1):
        if len(piece) < 2 or not np.isin(piece, (0, 1)).all():
            reason = (
                "has fewer than two steps" if len(piece) < 2 else "has values other than 0 and 1"
            )
            raise DataError(
                f"{path}: piece {number} of {name} {reason}: correct it or leave it out"
            )
    return [piece.astype("uint8") for piece in pieces]


@checked
def piano_roll_dataset(
    pieces: list[np.ndarray], batch_size: int, *, shuffle: bool = False, seed: int = 0
) -> tf.data.Dataset:
    """Returns a dataset of pieces. The target of each step is the next step [1, 2].

    Args:
        pieces: [steps, keys] of zeros and ones, two steps or more.
        batch_size: pieces per batch. Shorter pieces are padded on the right, with weight 0.
        shuffle: whether the pieces are shuffled again in each epoch.
        seed: seed of the shuffling.

    Returns:
        Batches of (keys, next keys, weights): float32 [batch, steps, keys] twice, float32 [batch, steps].
    """
    keys = pieces[0].shape[1]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(pieces), output_signature=tf.TensorSpec((None, keys), tf.uint8)
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(pieces)))
    if shuffle:
        dataset = dataset.shuffle(len(pieces), seed=seed)

    def add_targets(piece):
        piece = tf.cast(piece, tf.float32)
        return piece[:-1], piece[1:], tf.ones(tf.shape(piece)[0] - 1)

    return dataset.map(add_targets).padded_batch(batch_size).prefetch(tf.data.AUTOTUNE)

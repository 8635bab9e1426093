"""A corpus of T tokens to batches of subsequences of n: at random, or as streams whose state goes on.

The lectures' way (https://d2l.ai/chapter_recurrent-neural-networks/language-model.html): skip the first d tokens, d
drawn from 0 to n - 1, and cut the rest into m = floor((T - d) / n) subsequences that do not overlap; targets are the
same, one token later. Departure: the last target must exist, hence m = floor((T - d - 1) / n), one fewer where n
divides T - d.
"""

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError


def subsequence_steps_per_epoch(corpus: np.ndarray, length: int, batch_size: int) -> int:
    """Returns how many batches of `subsequence_dataset` an epoch is, whatever d is; `DataError` where the corpus fills none."""
    found = max(0, len(corpus) - length) // length // batch_size
    if not found:
        raise DataError(
            f"{len(corpus):,} tokens do not fill a batch of {batch_size} subsequences of {length}:"
            f" give {(batch_size + 1) * length:,} or more, or smaller batches"
        )
    return found


def cut_subsequences(
    corpus: np.ndarray, length: int, skip: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the subsequences and their targets, in order, views of the corpus: both [m, length].

    Args:
        corpus: tokens [T].
        length: n.
        skip: d.

    Raises:
        DataError: where nothing is left.
    """
    count = (len(corpus) - skip - 1) // length
    if length < 1 or skip < 0 or count < 1:
        raise DataError(
            f"{len(corpus):,} tokens after the first {skip} give no subsequence of {length} with its targets"
        )
    x = corpus[skip : skip + count * length].reshape(count, length)
    return x, corpus[skip + 1 : skip + 1 + count * length].reshape(count, length)


def subsequence_dataset(
    corpus: np.ndarray,
    length: int,
    batch_size: int,
    *,
    seed: int = 0,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Returns endless full batches for training, of which `subsequence_steps_per_epoch` make an epoch.

    Every epoch draws d and the order anew, from (seed, epoch). Of its subsequences each is there once at most; those
    that fill no batch are left to other epochs.

    Args:
        corpus: tokens, int [T].
        length: n, of a subsequence.
        batch_size: subsequences a batch, over all shards.
        seed: settles the skips and the orders.
        first_step: the batch to begin with, as a run that was interrupted does.
        shard: (i, k), for the i-th of k workers: each batch is the i-th part of the global one.

    Returns:
        Batches of (tokens, the next tokens), both int32 [batch_size / k, length].

    Raises:
        DataError: where the corpus fills no batch, or the batch does not divide among the workers.
    """
    count = subsequence_steps_per_epoch(corpus, length, batch_size)
    share = _share(batch_size, shard)
    whole = tf.constant(corpus, tf.int32)
    first_epoch, first_batch = divmod(first_step, count)

    def epoch(number):
        seeds = tf.stack([tf.constant(seed, tf.int64), number])
        skip = tf.random.stateless_uniform([], seeds, 0, length, tf.int32)
        rows = (len(corpus) - skip - 1) // length
        x = tf.reshape(whole[skip : skip + rows * length], [rows, length])
        y = tf.reshape(whole[skip + 1 : skip + 1 + rows * length], [rows, length])
        order = tf.random.experimental.stateless_shuffle(tf.range(rows), seeds)

        def batch(i):
            at = i * batch_size + shard[0] * share
            chosen = tf.ensure_shape(order[at : at + share], [share])
            return tf.gather(x, chosen), tf.gather(y, chosen)

        return tf.data.Dataset.range(count).map(batch)

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)


def stream_steps_per_epoch(corpus: np.ndarray, length: int, batch_size: int) -> int:
    """Returns how many batches of `stream_dataset` an epoch is, whatever d is; `DataError` where there is none."""
    found = (len(corpus) - length) // batch_size // length
    if found < 1:
        raise DataError(
            f"{len(corpus):,} tokens do not make {batch_size} streams of {length}:"
            f" give {(batch_size + 1) * length:,} or more, or smaller batches"
        )
    return found


def stream_dataset(
    corpus: np.ndarray,
    length: int,
    batch_size: int,
    *,
    seed: int = 0,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Returns endless full batches for training with carried states, of which `stream_steps_per_epoch` make an epoch.

    Every epoch skips d tokens, drawn anew from (seed, epoch), and cuts the rest into streams: row i of a batch goes on
    where row i of the batch before ended. States begin anew with each epoch.

    Args, returns and raises: as `subsequence_dataset`.
    """
    count = stream_steps_per_epoch(corpus, length, batch_size)
    share = _share(batch_size, shard)
    mine = slice(shard[0] * share, (shard[0] + 1) * share)
    whole = tf.constant(corpus, tf.int32)
    first_epoch, first_batch = divmod(first_step, count)

    def epoch(number):
        seeds = tf.stack([tf.constant(seed, tf.int64), number])
        skip = tf.random.stateless_uniform([], seeds, 0, length, tf.int32)
        each = (len(corpus) - skip - 1) // batch_size

        def rows(first):
            part = tf.reshape(whole[first : first + batch_size * each], [batch_size, each])
            part = tf.reshape(part[mine, : count * length], [share, count, length])
            return tf.transpose(part, [1, 0, 2])

        return tf.data.Dataset.from_tensor_slices((rows(skip), rows(skip + 1)))

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)


def _share(batch_size, shard):
    if batch_size % shard[1]:
        raise DataError(f"batch_size={batch_size} does not divide among {shard[1]} workers")
    return batch_size // shard[1]


def eval_stream_dataset(
    corpus: np.ndarray, length: int, batch_size: int, *, skip: int = 0, remainder: bool = True
) -> tf.data.Dataset:
    """Returns one pass in order: row i of a batch goes on where row i of the batch before ended.

    Row after row the streams are the corpus, so that a state may be carried from batch to batch.

    Args:
        corpus: tokens, int [T].
        length: n, of a subsequence.
        batch_size: how many streams.
        skip: d.
        remainder: whether every target is there once: the streams are padded on the right, those of padding weigh
            nothing. False leaves out what fills no batch, T - d - 1 modulo the batch size and then modulo n a stream.

    Returns:
        Batches of (tokens, the next tokens), int32 [batch_size, length], and with `remainder` weights, float32, of
        the same shape, 0 for padding and 1 else.

    Raises:
        DataError: where the corpus is too short for the streams.
    """
    targets = len(corpus) - skip - 1
    each = -(-targets // batch_size) if remainder else targets // batch_size
    count = -(-each // length) if remainder else each // length
    if length < 1 or skip < 0 or count < 1:
        raise DataError(
            f"{len(corpus):,} tokens after the first {skip} do not make {batch_size} streams of {length} with targets"
        )
    kept = min(targets, each * batch_size)
    x, y, weights = (
        _batches(values, batch_size, each, count, length)
        for values in (
            corpus[skip : skip + kept],
            corpus[skip + 1 : skip + 1 + kept],
            np.ones(kept, "float32"),
        )
    )
    batches = (x, y, weights) if remainder else (x, y)
    return tf.data.Dataset.from_tensor_slices(batches).prefetch(tf.data.AUTOTUNE)


def _batches(values, rows, each, count, length):
    """Returns rows of `each` values, cut or padded with zeros, as [count, rows, length]."""
    values = np.asarray(values, "float32" if values.dtype == "float32" else "int32")
    values = np.pad(values, (0, rows * each - len(values))).reshape(rows, each)[:, : count * length]
    values = np.pad(values, ((0, 0), (0, count * length - values.shape[1])))
    return np.ascontiguousarray(values.reshape(rows, count, length).transpose(1, 0, 2))

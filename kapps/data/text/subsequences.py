"""Batches of subsequences of n tokens from a corpus of T tokens: in random order, or as streams with a carried state.

https://d2l.ai/chapter_recurrent-neural-networks/language-model.html skips the first d tokens, where d is sampled from
0 to n - 1, and cuts the rest into m = floor((T - d) / n) subsequences that do not overlap. The targets are the same
tokens, one position later.

Departure: m = floor((T - d - 1) / n), because the last target must exist. This is one fewer if n divides T - d.
"""

import numpy as np
import tensorflow as tf

from kapps._checked import checked
from kapps.data.errors import DataError


@checked
def cut_subsequences(
    corpus: np.ndarray, length: int, skip: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all subsequences in order and their targets, as views of the corpus.

    Args:
        corpus: tokens, int [T].
        length: n, tokens of a subsequence.
        skip: d, tokens at the start of the corpus that are left out.

    Returns:
        (tokens, next tokens), both [m, n].

    Raises:
        DataError: the corpus is too short.
    """
    count = (len(corpus) - skip - 1) // length
    if length < 1 or skip < 0 or count < 1:
        raise DataError(
            f"{len(corpus):,} tokens after the first {skip} have no subsequence of {length} with its targets"
        )
    tokens = corpus[skip : skip + count * length].reshape(count, length)
    targets = corpus[skip + 1 : skip + 1 + count * length].reshape(count, length)
    return tokens, targets


@checked
def subsequence_steps_per_epoch(corpus: np.ndarray, length: int, batch_size: int) -> int:
    """Returns the number of batches of `subsequence_dataset` in an epoch, which does not depend on d.

    Raises:
        DataError: the corpus is shorter than a batch.
    """
    steps = max(0, len(corpus) - length) // length // batch_size
    if not steps:
        raise DataError(
            f"{len(corpus):,} tokens do not fill a batch of {batch_size} subsequences of {length}:"
            f" pass {(batch_size + 1) * length:,} tokens or more, or a smaller batch"
        )
    return steps


@checked
def subsequence_dataset(
    corpus: np.ndarray,
    length: int,
    batch_size: int,
    *,
    seed: int = 0,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Returns an endless dataset of shuffled subsequences. `subsequence_steps_per_epoch` batches are an epoch.

    Each epoch samples d and the order from (seed, epoch). It has each subsequence at most once. Subsequences that do
    not fill a batch are left out.

    Args:
        corpus: tokens, int [T].
        length: n, tokens of a subsequence.
        batch_size: subsequences per batch, of all workers together.
        seed: seed of d and of the order.
        first_step: number of the first batch, to resume an interrupted run.
        shard: (i, k) for worker i of k: each batch is the i-th part of the batch of a single worker.

    Returns:
        Batches of (tokens, next tokens), both int32 [batch_size / k, n].

    Raises:
        DataError: the corpus is shorter than a batch, or the batch size is not divisible by the number of workers.
    """
    steps = subsequence_steps_per_epoch(corpus, length, batch_size)
    rows = _worker_rows(batch_size, shard)
    corpus_tensor = tf.constant(corpus, tf.int32)
    first_epoch, first_batch = divmod(first_step, steps)

    def epoch(number):
        epoch_seed = tf.stack([tf.constant(seed, tf.int64), number])
        skip = tf.random.stateless_uniform([], epoch_seed, 0, length, tf.int32)
        count = (len(corpus) - skip - 1) // length
        end = skip + count * length
        tokens = tf.reshape(corpus_tensor[skip:end], [count, length])
        targets = tf.reshape(corpus_tensor[skip + 1 : end + 1], [count, length])
        order = tf.random.experimental.stateless_shuffle(tf.range(count), epoch_seed)

        def batch(step):
            start = step * batch_size + rows.start
            numbers = tf.ensure_shape(order[start : start + len(rows)], [len(rows)])
            return tf.gather(tokens, numbers), tf.gather(targets, numbers)

        return tf.data.Dataset.range(steps).map(batch)

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)


@checked
def stream_steps_per_epoch(corpus: np.ndarray, length: int, batch_size: int) -> int:
    """Returns the number of batches of `stream_dataset` in an epoch, which does not depend on d.

    Raises:
        DataError: the corpus is shorter than a batch.
    """
    steps = (len(corpus) - length) // batch_size // length
    if steps < 1:
        raise DataError(
            f"{len(corpus):,} tokens do not make {batch_size} streams of {length}:"
            f" pass {(batch_size + 1) * length:,} tokens or more, or a smaller batch"
        )
    return steps


@checked
def stream_dataset(
    corpus: np.ndarray,
    length: int,
    batch_size: int,
    *,
    seed: int = 0,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Returns an endless dataset for training with a carried state. `stream_steps_per_epoch` batches are an epoch.

    Each epoch skips d tokens, where d is sampled from (seed, epoch), and cuts the rest into one stream per row: row i
    of a batch continues row i of the batch before it. Reset the states at the start of each epoch.

    Arguments, results and errors are those of `subsequence_dataset`.
    """
    steps = stream_steps_per_epoch(corpus, length, batch_size)
    rows = _worker_rows(batch_size, shard)
    corpus_tensor = tf.constant(corpus, tf.int32)
    first_epoch, first_batch = divmod(first_step, steps)

    def epoch(number):
        epoch_seed = tf.stack([tf.constant(seed, tf.int64), number])
        skip = tf.random.stateless_uniform([], epoch_seed, 0, length, tf.int32)
        stream_length = (len(corpus) - skip - 1) // batch_size

        def cut_streams(start):
            streams = corpus_tensor[start : start + batch_size * stream_length]
            streams = tf.reshape(streams, [batch_size, stream_length])
            streams = streams[rows.start : rows.stop, : steps * length]
            batches = tf.reshape(streams, [len(rows), steps, length])
            return tf.transpose(batches, [1, 0, 2])

        return tf.data.Dataset.from_tensor_slices((cut_streams(skip), cut_streams(skip + 1)))

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)


@checked
def eval_stream_dataset(
    corpus: np.ndarray, length: int, batch_size: int, *, skip: int = 0, remainder: bool = True
) -> tf.data.Dataset:
    """Returns the corpus once, in order: row i of a batch continues row i of the batch before it.

    The streams are consecutive parts of the corpus, so that a state may be carried from batch to batch.

    Args:
        corpus: tokens, int [T].
        length: n, tokens of a subsequence.
        batch_size: number of streams.
        skip: d, tokens at the start of the corpus that are left out.
        remainder: whether the streams are padded on the right, so that every target occurs once. `False` leaves out the
            tokens that do not fill a batch.

    Returns:
        Batches of (tokens, next tokens), int32 [batch_size, n], and with `remainder` weights, float32 of the same
        shape, 0 for padding and 1 for tokens.

    Raises:
        DataError: the corpus is too short for the streams.
    """
    targets = len(corpus) - skip - 1
    if remainder:
        stream_length = -(-targets // batch_size)
        steps = -(-stream_length // length)
    else:
        stream_length = targets // batch_size
        steps = stream_length // length
    if length < 1 or skip < 0 or steps < 1:
        raise DataError(
            f"{len(corpus):,} tokens after the first {skip} do not make {batch_size} streams of {length} with targets"
        )
    count = min(targets, stream_length * batch_size)
    parts = [corpus[skip : skip + count], corpus[skip + 1 : skip + 1 + count]]
    if remainder:
        parts.append(np.ones(count, "float32"))
    batches = tuple(_cut_batches(part, batch_size, stream_length, steps, length) for part in parts)
    return tf.data.Dataset.from_tensor_slices(batches).prefetch(tf.data.AUTOTUNE)


def _worker_rows(batch_size: int, shard: tuple[int, int]) -> range:
    """Returns the rows of a batch that belong to worker i of k."""
    worker, workers = shard
    if batch_size % workers:
        raise DataError(f"batch_size={batch_size} is not divisible by {workers} workers")
    count = batch_size // workers
    return range(worker * count, (worker + 1) * count)


def _cut_batches(values, rows, stream_length, steps, length) -> np.ndarray:
    """Returns values in `rows` streams of `stream_length`, cut or padded with 0, as [steps, rows, length]."""
    values = np.asarray(values, "float32" if values.dtype == "float32" else "int32")
    streams = np.pad(values, (0, rows * stream_length - len(values))).reshape(rows, stream_length)
    streams = streams[:, : steps * length]
    streams = np.pad(streams, ((0, 0), (0, steps * length - streams.shape[1])))
    return np.ascontiguousarray(streams.reshape(rows, steps, length).transpose(1, 0, 2))

"""A corpus of T tokens to batches of subsequences of n: at random, or as streams whose state goes on; and buckets.

The lectures' way (https://d2l.ai/chapter_recurrent-neural-networks/language-model.html): skip the first d tokens, d
drawn from 0 to n - 1, and cut the rest into m = floor((T - d) / n) subsequences that do not overlap; targets are the
same, one token later. Departure: the last target must exist, hence m = floor((T - d - 1) / n), one fewer where n
divides T - d.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps.data.faults import DataError


def steps(corpus: np.ndarray, length: int, batch_size: int) -> int:
    """Returns how many batches of `shuffled` an epoch is, whatever d is; `DataError` where the corpus fills none."""
    found = max(0, len(corpus) - length) // length // batch_size
    if not found:
        raise DataError(
            f"{len(corpus):,} tokens do not fill a batch of {batch_size} subsequences of {length}:"
            f" give {(batch_size + 1) * length:,} or more, or smaller batches"
        )
    return found


def partition(corpus: np.ndarray, length: int, skip: int = 0) -> tuple[np.ndarray, np.ndarray]:
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


def shuffled(
    corpus: np.ndarray, length: int, batch_size: int, *, seed: int = 0, first_step: int = 0
) -> tf.data.Dataset:
    """Returns endless full batches for training, of which `steps` make an epoch.

    Every epoch draws d and the order anew, from (seed, epoch). Of its subsequences each is there once at most; those
    that fill no batch are left to other epochs.

    Args:
        corpus: tokens, int [T].
        length: n, of a subsequence.
        batch_size: subsequences a batch.
        seed: settles the skips and the orders.
        first_step: the batch to begin with, as a run that was interrupted does.

    Returns:
        Batches of (tokens, the next tokens), both int32 [batch_size, length].

    Raises:
        DataError: where the corpus fills no batch.
    """
    count = steps(corpus, length, batch_size)
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
            chosen = order[i * batch_size : (i + 1) * batch_size]
            chosen = tf.ensure_shape(chosen, [batch_size])
            return tf.gather(x, chosen), tf.gather(y, chosen)

        return tf.data.Dataset.range(count).map(batch)

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)


def streams(
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


def bucketed(
    examples: Sequence[np.ndarray],
    answers: Sequence,
    tokens: int,
    *,
    buckets: int = 8,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Returns one pass in batches of like lengths, padded on the right with 0 to the longest of each.

    Args:
        examples: of each its tokens, int [its own length], from 1 up, 0 being padding.
        answers: of each a number, or as many tokens as it has.
        tokens: how many a batch has at most, with its padding: the longer the examples, the fewer.
        buckets: how many ranges of length there are, about equally full.
        seed: settles the order, another one each pass; None for the examples' own, in their buckets.

    Returns:
        Batches of (int32 [batch, time], answers, int32 [batch]; or int32 [batch, time] and their weights, float32
        [batch, time], 0 for padding and 1 else).

    Raises:
        DataError: where there is no example, one is empty, or is alone longer than `tokens`.
    """
    if len(examples) != len(answers) or not len(examples):
        raise DataError(f"{len(examples)} examples and {len(answers)} answers: as many, 1 or more")
    lengths = np.array([len(example) for example in examples])
    if not 1 <= lengths.min() <= lengths.max() <= tokens:
        raise DataError(
            f"examples have from 1 to tokens={tokens} tokens, and here from {lengths.min()} to {lengths.max()}:"
            " leave out or cut those, or raise tokens"
        )
    each = np.ndim(answers[0]) == 1
    shares = np.quantile(lengths, np.arange(1, buckets + 1) / buckets, method="higher")
    bounds = np.unique(shares).astype(int)
    flat = tf.constant(np.concatenate(examples), tf.int32)
    given = tf.constant(np.concatenate(answers) if each else np.asarray(answers), tf.int32)
    ends = np.cumsum(lengths)
    places = tf.data.Dataset.from_tensor_slices((ends - lengths, ends))
    places = places.enumerate()
    if seed is not None:
        places = places.shuffle(len(examples), seed=seed)

    def example(i, place):
        x = flat[place[0] : place[1]]
        if not each:
            return x, given[i]
        return x, given[place[0] : place[1]], tf.ones_like(x, tf.float32)

    return (
        places.map(example, tf.data.AUTOTUNE, deterministic=True)
        .bucket_by_sequence_length(
            lambda x, *_: tf.size(x),
            # A bucket holds what is shorter than its bound.
            bucket_boundaries=(bounds[:-1] + 1).tolist(),
            bucket_batch_sizes=[int(tokens // bound) for bound in bounds],
        )
        .prefetch(tf.data.AUTOTUNE)
    )

"""Examples of many lengths to batches of like lengths, so that little of a batch is padding."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps.data.errors import DataError


def bucketed_dataset(
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

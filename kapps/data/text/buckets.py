"""Batches of examples of similar length, so that a batch has little padding."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kapps._checked import checked
from kapps.data.errors import DataError


@checked
def bucketed_dataset(
    examples: Sequence[np.ndarray],
    targets: Sequence,
    tokens: int,
    *,
    buckets: int = 8,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Returns a dataset of all examples in batches of similar length, padded on the right with 0.

    Args:
        examples: tokens of each example, int [time], from 1 (0 is padding).
        targets: of each example a number, or as many tokens as the example has.
        tokens: largest number of tokens of a batch, with padding. Batches of longer examples have fewer rows.
        buckets: number of ranges of length, which hold about the same number of examples.
        seed: seed of the order, which differs in each epoch. `None` keeps the order of the examples within a bucket.

    Returns:
        Batches of (int32 [batch, time], targets). Targets are int32 [batch], or int32 [batch, time] followed by the
        weights float32 [batch, time], 0 for padding and 1 for tokens.

    Raises:
        DataError: there is no example, an example is empty or has more than `tokens` tokens, or the numbers of examples
            and targets differ.
    """
    if len(examples) != len(targets) or not len(examples):
        raise DataError(
            f"{len(examples)} examples and {len(targets)} targets: pass as many of each, and at least one"
        )
    lengths = np.array([len(example) for example in examples])
    if not 1 <= lengths.min() <= lengths.max() <= tokens:
        raise DataError(
            f"examples must have 1 to tokens={tokens} tokens, but these have {lengths.min()} to {lengths.max()}:"
            " leave out or cut them, or raise tokens"
        )
    is_per_token = np.ndim(targets[0]) == 1
    quantiles = np.arange(1, buckets + 1) / buckets
    bounds = np.unique(np.quantile(lengths, quantiles, method="higher")).astype(int)
    flat_examples = tf.constant(np.concatenate(examples), tf.int32)
    flat_targets = tf.constant(
        np.concatenate(targets) if is_per_token else np.asarray(targets), tf.int32
    )
    ends = np.cumsum(lengths)
    ranges = tf.data.Dataset.from_tensor_slices((ends - lengths, ends)).enumerate()
    if seed is not None:
        ranges = ranges.shuffle(len(examples), seed=seed)

    def cut_example(number, range_):
        start, end = range_
        example = flat_examples[start:end]
        if not is_per_token:
            return example, flat_targets[number]
        return example, flat_targets[start:end], tf.ones_like(example, tf.float32)

    dataset = ranges.map(cut_example, tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.bucket_by_sequence_length(
        lambda example, *_: tf.size(example),
        bucket_boundaries=(bounds[:-1] + 1).tolist(),  # the upper boundary is not in a bucket
        bucket_batch_sizes=[int(tokens // bound) for bound in bounds],
    )
    return dataset.prefetch(tf.data.AUTOTUNE)

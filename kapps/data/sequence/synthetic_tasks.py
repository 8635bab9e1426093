"""Synthetic tasks that test the memory of a network: the adding problem and copy memory.

[1] Bai 2018, arXiv:1803.01271, section 4, which has these tasks, lengths and encodings
[2] Hochreiter 1997, Long short-term memory, which introduced the adding problem

A sequence depends only on the seed and its number, not on the batch or the machine.
"""

from collections.abc import Callable

import tensorflow as tf

from kapps._checked import checked


def generate_batches(
    make_sequence: Callable, batch_size: int, sequences: int | None = None, first_step: int = 0
) -> tf.data.Dataset:
    """Returns a dataset of batches of `make_sequence(number)` for number = 0, 1, ...

    Args:
        make_sequence: function of int64 [] that returns tensors, made of TensorFlow operations.
        batch_size: sequences per batch.
        sequences: number of sequences. `None` for an endless dataset of full batches.
        first_step: number of the first batch, to resume an interrupted run.
    """
    first = first_step * batch_size
    counter, limited = tf.data.Dataset.counter, tf.data.Dataset.range
    numbers = counter(first) if sequences is None else limited(first, sequences)
    dataset = numbers.map(make_sequence, tf.data.AUTOTUNE, deterministic=True)
    return dataset.batch(batch_size, drop_remainder=sequences is None).prefetch(tf.data.AUTOTUNE)


@checked
def adding_problem_dataset(
    steps: int, batch_size: int, *, sequences: int | None = None, seed: int = 0
) -> tf.data.Dataset:
    """Returns the adding problem: the sum of the two marked numbers of a sequence in [0, 1) [1, 2].

    A model that always predicts 1 has a mean squared error of 1/6.

    Args:
        steps: length of a sequence, 2 or more.
        batch_size: sequences per batch.
        sequences: number of sequences. `None` for an endless dataset.
        seed: seed of numbers and marks.

    Returns:
        Batches of (inputs, sums): float32 [batch, steps, 2], number and mark; float32 [batch, 1].

    Raises:
        ValueError: `steps` is less than 2.
    """
    if steps < 2:
        raise ValueError(f"steps={steps}: the adding problem marks two steps, so choose 2 or more")

    def make_sequence(number):
        samples = tf.random.stateless_uniform([2, steps], [seed, number])
        marked = tf.math.top_k(samples[1], 2).indices
        marks = tf.reduce_sum(tf.one_hot(marked, steps), axis=0)
        inputs = tf.stack([samples[0], marks], axis=-1)
        return inputs, tf.reduce_sum(samples[0] * marks)[None]

    return generate_batches(make_sequence, batch_size, sequences)


@checked
def copy_memory_dataset(
    blanks: int, batch_size: int, *, sequences: int | None = None, seed: int = 0
) -> tf.data.Dataset:
    """Returns the copy memory task: ten digits from 1 to 8, then blanks, then the ten digits again [1].

    The inputs are the ten digits, `blanks` - 1 zeros and eleven nines. The targets are `blanks` + 10 zeros and the ten
    digits. A model without memory has a cross-entropy of 10 ln 8 / (blanks + 20) per step.

    Args:
        blanks: T of the paper, 1 or more.
        batch_size: sequences per batch.
        sequences: number of sequences. `None` for an endless dataset.
        seed: seed of the digits.

    Returns:
        Batches of (inputs, targets): float32 [batch, blanks + 20, 1], int32 [batch, blanks + 20].

    Raises:
        ValueError: `blanks` is less than 1.
    """
    if blanks < 1:
        raise ValueError(f"blanks={blanks}: choose 1 or more")

    def make_sequence(number):
        digits = tf.random.stateless_uniform([10], [seed, number], 1, 9, tf.int32)
        inputs = tf.concat([digits, tf.zeros(blanks - 1, tf.int32), tf.fill([11], 9)], 0)
        targets = tf.concat([tf.zeros(blanks + 10, tf.int32), digits], 0)
        return tf.cast(inputs, tf.float32)[:, None], targets

    return generate_batches(make_sequence, batch_size, sequences)

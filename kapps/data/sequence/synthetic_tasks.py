"""Sequences that networks are compared on: sums, copies, pixels one by one, music.

[1] Bai 2018, arXiv:1803.01271, section 4, whose tasks, lengths and encodings these are
[2] Hochreiter 1997, Long short-term memory, whose adding problem it is
[3] Boulanger-Lewandowski 2012, arXiv:1206.6392, whose chorales and folk tunes they are

What is drawn depends on the seed and the sequence's number alone, not on the batch or the machine.
"""

import tensorflow as tf


def generate_batches(make, batch_size: int, sequences: int | None = None) -> tf.data.Dataset:
    """Returns batches of `make(number)`, int64 [] to tensors, for numbers from 0.

    Args:
        make: a function of TensorFlow's operations.
        batch_size: sequences a batch.
        sequences: how many there are; None for no end, in whole batches.
    """
    numbers = tf.data.Dataset.counter() if sequences is None else tf.data.Dataset.range(sequences)
    made = numbers.map(make, tf.data.AUTOTUNE, deterministic=True)
    return made.batch(batch_size, drop_remainder=sequences is None).prefetch(tf.data.AUTOTUNE)


def adding_problem_dataset(
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

    return generate_batches(make, batch_size, sequences)


def copy_memory_dataset(
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

    return generate_batches(make, batch_size, sequences)

"""Endless datasets of arrays in memory whose order depends only on the seed and the epoch, so that a run resumes."""

import numpy as np
import tensorflow as tf


def train_dataset(inputs, targets, batch_size, *, seed=0, first_step=0, shard=(0, 1)):
    """Returns an endless dataset of shuffled batches. `steps_per_epoch` batches are an epoch; its last may be smaller.

    Args:
        inputs: an array, or a list of arrays for a model with several inputs; the first axis counts the examples.
        targets: array.
        batch_size: examples per batch.
        seed: seed of the order, which also depends on the epoch.
        first_step: number of the first batch, to resume an interrupted run.
        shard: the recipes with arrays run on one device: (0, 1).
    """
    if shard != (0, 1):
        raise ValueError(f"shard={shard}: arrays are not divided among workers")
    tensors = tf.nest.map_structure(tf.constant, (_as_tuple(inputs), targets))
    steps = steps_per_epoch(targets, batch_size)
    first_epoch, first_batch = divmod(first_step, steps)

    def epoch(number):
        epoch_seed = tf.stack([tf.constant(seed, tf.int64), number])
        order = tf.random.experimental.stateless_shuffle(tf.range(len(targets)), epoch_seed)

        def batch(step):
            indices = order[step * batch_size : (step + 1) * batch_size]
            return tf.nest.map_structure(lambda values: tf.gather(values, indices), tensors)

        return tf.data.Dataset.range(steps).map(batch)

    epochs = tf.data.Dataset.counter(first_epoch)
    return epochs.flat_map(epoch).skip(first_batch).prefetch(tf.data.AUTOTUNE)


def eval_dataset(inputs, targets, batch_size):
    """Returns every example once, in order."""
    return tf.data.Dataset.from_tensor_slices((_as_tuple(inputs), targets)).batch(batch_size)


def steps_per_epoch(targets, batch_size):
    """Returns the number of batches of an epoch."""
    return -(-len(targets) // batch_size)


def name_arrays(inputs, targets, prefix):
    """Returns the arrays by name, for `kapps.data.array_identity`."""
    arrays = _as_tuple(inputs)
    arrays = arrays if isinstance(arrays, tuple) else (arrays,)
    named = {f"{prefix} inputs {i}": np.asarray(array) for i, array in enumerate(arrays)}
    return named | {f"{prefix} targets": np.asarray(targets)}


def _as_tuple(inputs):
    return tuple(inputs) if isinstance(inputs, list) else inputs
